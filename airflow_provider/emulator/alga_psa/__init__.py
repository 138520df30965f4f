"""The emulated AlgaPSA: automation rules with simulated executions, and what happens to them outside the API."""

from airflow_provider.emulator.alga_psa.access import ApiKey
from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, Rule

__all__ = ["Action", "ApiKey", "LogEntry", "Rule"]
