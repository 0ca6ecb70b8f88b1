"""Audio files: what their headers say, and their samples."""
