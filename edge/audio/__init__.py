"""Microphones, files and pipes to ``AudioBlock`` at 16 kHz."""
