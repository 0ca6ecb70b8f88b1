"""Objectives, which training minimises: one file each, found by its name.

An objective has `ready(config, network)`, which returns a function from logits and targets to named terms of the loss.
"""
