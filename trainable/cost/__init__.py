"""The cost of a trial, counted and measured."""
