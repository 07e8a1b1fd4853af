"""Predicted faces to figures."""
