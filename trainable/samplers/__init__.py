"""Samplers, which choose the clips of an epoch and their order: one file each, found by its name.

A sampler has `order(clips, random)`: the training clips of an epoch, in order, from a CPU generator for that epoch.
"""
