"""Trials on a cluster, by Ray."""
