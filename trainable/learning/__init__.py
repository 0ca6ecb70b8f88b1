"""What is learnt with: the parts of a trial, and what holds them together while it trains."""
