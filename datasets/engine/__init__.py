"""Turns a folder of recordings, of any corpus, into clips and splits."""
