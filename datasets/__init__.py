"""Labelled recordings on disk: where they are, their clips at any rate, and who may be trained or tested on."""
