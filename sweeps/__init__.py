"""The studies, and what plans, runs and records them."""
