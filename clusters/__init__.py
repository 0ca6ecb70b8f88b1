"""Clusters that a sweep runs on: the files that start them, and the check of such a file before money is spent."""
