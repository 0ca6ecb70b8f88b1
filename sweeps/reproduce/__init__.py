"""Reproduces a sweep from its lock."""
