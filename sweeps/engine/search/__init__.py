"""Searches: what is sought, and what is evaluated next, by Optuna."""
