"""The parts of a network that can be trained: one file each, found by its name.

Each has `ready(config, network, roles)`, which returns the network that the epochs train and its examples;
`finish(part)`, which is called with that network after the last epoch; and `embeds`, which says whether each clip is
embedded once.
"""
