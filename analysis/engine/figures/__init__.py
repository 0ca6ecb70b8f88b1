"""Figures of tables, and their common style."""
