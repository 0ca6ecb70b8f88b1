"""Averages of the weights over steps: one file each, found by its name.

An average has `ready(network)`, which returns an object like `none.Average`: it holds the network that is scored,
`step()` is called after each step, and two methods save it to a checkpoint and load it.
"""
