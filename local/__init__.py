"""The runtime for a machine without Docker: Postgres, MLflow and Airflow as plain processes."""
