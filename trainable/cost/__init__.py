"""What a trial costs, counted and measured."""
