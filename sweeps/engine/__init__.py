"""What runs a study: its plan, its command line, and what a user sees of it."""
