"""Inference from the scores of a test set: draws of recordings, comparisons of pairs, constant answers."""
