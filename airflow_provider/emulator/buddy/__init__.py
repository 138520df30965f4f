"""The emulated Buddy: simulated pipelines, and the acts of people in its web UI."""

from airflow_provider.emulator.buddy.lines import RepeatedLines
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.variables import Variable
from airflow_provider.emulator.buddy.webhooks import Delivery, Webhook

__all__ = ["Action", "Delivery", "Gate", "Pipeline", "RepeatedLines", "Variable", "Webhook"]
