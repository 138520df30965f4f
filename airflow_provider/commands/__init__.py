"""What the commands ``airflow executions ...`` do. Imported when one of them runs."""
