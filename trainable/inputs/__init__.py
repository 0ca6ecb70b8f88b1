"""What a network is given of a clip, one file each, found by its name."""
