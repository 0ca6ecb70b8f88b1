"""What training lowers, one file each, found by its name.

An objective has `ready(config, network)`, which gives a function from logits and targets to named terms of the loss.
"""
