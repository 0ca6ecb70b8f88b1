"""Statements of a paper as data, and the verdicts on them."""
