"""What persons do to tasks, in a real Airflow."""
