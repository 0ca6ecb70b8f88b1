"""The studies, and the engine that plans, runs and records them."""
