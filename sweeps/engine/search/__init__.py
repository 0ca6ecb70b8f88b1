"""Searches: what is sought, in rounds, by Optuna."""
