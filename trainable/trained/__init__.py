"""Which part of a network is trained, one file each, found by its name."""
