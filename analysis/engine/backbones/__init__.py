"""Tables over networks."""
