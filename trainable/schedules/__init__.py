"""Schedules of the learning rate over the epochs: one file each, found by its name.

A schedule has `factor(epoch, num_epochs)`, by which `lr` is multiplied. It depends on nothing else, so that a trial
that is resumed gives the same result.
"""
