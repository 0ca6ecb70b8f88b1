"""Trials on a cluster, by Ray: what starts, measures, watches and records them, and a search round by round."""
