"""AlgaPSA on loopback: automation rules whose executions are played, and what happens to them behind the API."""

from airflow_provider.emulator.alga_psa.access import ApiKey
from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, Rule

__all__ = ["Action", "ApiKey", "LogEntry", "Rule"]
