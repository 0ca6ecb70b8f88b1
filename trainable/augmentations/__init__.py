"""What changes a batch before it is learnt from, one file each, found by its name."""
