"""Airflow operators, sensors and hooks for executions that live in other systems."""

__version__ = "0.1.0"
