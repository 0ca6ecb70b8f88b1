"""Which part of a network is trained, one file each, found by its name.

It has `ready(config, network, roles)`: the network that the epochs train, and its examples; and `embeds`.
"""
