"""What trials are judged by, one file each, found by its name.

A score is a `trainable.learning.score.Score`: it has `of(logits, labels, recording)`, and says in which direction it is
better, whether it is a share, whether it is taken after every epoch, and what it is called.
"""
