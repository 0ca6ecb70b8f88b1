"""Reads audio files: their headers, their samples, and annotations of them."""
