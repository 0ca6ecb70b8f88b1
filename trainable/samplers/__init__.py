"""Which clips an epoch takes, and in which order, one file each, found by its name.

A sampler has `order(clips, random)`: the training clips of an epoch, in order, from a CPU generator of that epoch.
"""
