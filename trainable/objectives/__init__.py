"""What training lowers, one file each, found by its name."""
