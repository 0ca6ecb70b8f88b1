"""Averages of the weights over steps, one file each, found by its name."""
