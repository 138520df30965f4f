"""Buddy on loopback: pipelines that are played, and the acts of people in its web UI."""

from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline

__all__ = ["Action", "Gate", "Pipeline"]
