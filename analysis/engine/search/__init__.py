"""Reports of searches."""
