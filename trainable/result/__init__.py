"""What a trial leaves: its record, its scores, and what it took."""
