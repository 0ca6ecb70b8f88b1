"""What users read, whatever the command: near names, flags and their help, columns of text."""
