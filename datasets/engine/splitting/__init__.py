"""Ways to share recordings out: by shares of the clips, in folds, and by the list in a file."""
