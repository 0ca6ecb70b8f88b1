"""One trial: a frozen description, a network, and the loop that fine-tunes it. Knows neither Ray nor MLflow."""
