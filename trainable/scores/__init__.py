"""Scores, by which trials are judged: one file each, found by its name.

A score is a `trainable.learning.score.Score`: it has `of(logits, labels, recording)` and a title, and says whether
higher is better, whether it is a share, and whether it is computed after every epoch.
"""
