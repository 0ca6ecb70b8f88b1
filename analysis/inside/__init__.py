"""What looks into networks."""
