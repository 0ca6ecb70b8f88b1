"""Views into trained networks."""
