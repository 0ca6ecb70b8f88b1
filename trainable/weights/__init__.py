"""Finds, checks, loads and saves files of weights."""
