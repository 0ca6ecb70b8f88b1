"""Which clips an epoch takes, and in which order, one file each, found by its name."""
