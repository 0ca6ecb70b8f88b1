"""The tools of learning: the parts of a trial, and the learner that combines them in training."""
