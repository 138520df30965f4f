"""Airflow operators, sensors and hooks for executions in other systems."""

__version__ = "0.2.0"
