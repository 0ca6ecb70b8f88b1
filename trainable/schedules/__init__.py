"""How the learning rate follows the epochs, one file each, found by its name.

A schedule has `factor(epoch, num_epochs)`, by which `lr` is multiplied. It depends on nothing else, so that a trial
that goes on after a stop is the same.
"""
