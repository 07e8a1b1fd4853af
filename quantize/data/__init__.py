"""Recordings to clips, and clips to training streams."""
