"""Reads audio files: their headers and their samples."""
