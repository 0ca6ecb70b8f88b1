"""Text for the users of every command: similar names, flags and their help, columns."""
