"""Augmentations, which change a batch before the network learns from it: one file each, found by its name.

An augmentation has `draw(config, samples, generator)`, which returns a `trainable.learning.augmentation.Drawn`. Its
`stage` decides the order of several, and `clips_per_sample` is the number of clips that it combines into a sample.
"""
