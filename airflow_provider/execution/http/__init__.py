"""From an Airflow connection to answers over HTTP."""
