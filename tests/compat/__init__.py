"""One set of scenarios on several versions of Airflow, each a real one in an environment of its own."""
