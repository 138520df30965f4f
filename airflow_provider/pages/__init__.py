"""The pages that this package adds to Airflow's web interface."""
