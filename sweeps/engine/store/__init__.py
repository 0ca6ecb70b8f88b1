"""The stores of results: the storage's folders, and MLflow and Optuna's database in step with them."""
