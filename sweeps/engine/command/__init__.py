"""The command line, parsed once."""
