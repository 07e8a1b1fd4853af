"""Faces and sound to files."""
