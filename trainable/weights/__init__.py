"""Files of weights: found, checked, loaded and kept."""
