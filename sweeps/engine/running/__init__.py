"""Trials on a cluster, by Ray: starting, measuring, watching and recording them, and the rounds of a search."""
