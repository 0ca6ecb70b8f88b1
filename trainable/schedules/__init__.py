"""How the learning rate follows the epochs, one file each, found by its name."""
