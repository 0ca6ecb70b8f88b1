"""Where results are kept: the storage's folders, and MLflow and Optuna's database in step with them."""
