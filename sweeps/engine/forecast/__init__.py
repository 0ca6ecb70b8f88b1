"""Forecasts for trials: time, memory, cost, and placement."""
