"""Where results are kept: the storage's folders, and MLflow in step with them."""
