"""What changes a batch before it is learnt from, one file each, found by its name.

An augmentation has `draw(config, samples, generator)`, which gives a `trainable.learning.augmentation.Drawn`; `stage`
orders several, and `clips_per_sample` says how many clips it makes one of.
"""
