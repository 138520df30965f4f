"""The emulated Tracecat: simulated workflows, and the acts of people in its web UI."""

from airflow_provider.emulator.tracecat.access import ServiceKey, User, Workspace
from airflow_provider.emulator.tracecat.scenario import NOTHING, Action, Interaction, Schedule, Workflow

__all__ = ["NOTHING", "Action", "Interaction", "Schedule", "ServiceKey", "User", "Workflow", "Workspace"]
