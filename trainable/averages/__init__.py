"""Averages of the weights over steps, one file each, found by its name.

An average has `ready(network)`, which gives what `none.Average` says: the network that is scored, `step()` after each
step, and the two methods by which a checkpoint keeps it.
"""
