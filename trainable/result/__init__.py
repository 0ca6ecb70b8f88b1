"""The result of a trial: its record, its scores, and the resources it used."""
