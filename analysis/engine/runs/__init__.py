"""Runs of a table that belong together."""
