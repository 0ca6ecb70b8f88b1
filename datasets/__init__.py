"""Labelled recordings on disk: their files, their clips at any sampling rate, and their split into three roles."""
