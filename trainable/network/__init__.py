"""The base of all networks, whatever their family."""
