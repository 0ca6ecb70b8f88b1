"""One trial: a frozen description, a network, and the loop that fine-tunes it, without Ray or MLflow."""
