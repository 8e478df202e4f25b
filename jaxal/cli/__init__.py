"""Flags, commands, run folders, the terminal."""
