"""The layers of PANNs."""
