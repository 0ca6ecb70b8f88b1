"""What every network is made of, whichever family it belongs to."""
