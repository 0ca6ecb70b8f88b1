"""Searches: their spaces, and Optuna's choice of what to evaluate next."""
