"""Invented corpora, in the layouts of real ones."""
