"""The engine of the studies: their plans, command line and display."""
