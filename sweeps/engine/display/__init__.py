"""The display while trials run."""
