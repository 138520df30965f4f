"""
Celery's settings for the chaos run: Airflow's own.

Importing this loads what tasks need: a worker does so before it forks, hence its tasks start in a tenth of the time.
"""

from __future__ import annotations

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from airflow.sdk.execution_time import task_runner

from airflow_provider.alga_psa.executions import adapter as alga_psa
from airflow_provider.buddy.executions import adapter as buddy
from airflow_provider.execution.http import transport
from airflow_provider.execution.waiting import trigger
from airflow_provider.tracecat.executions import adapter as tracecat

__all__ = ["CELERY_CONFIG", "alga_psa", "buddy", "task_runner", "tracecat", "transport", "trigger"]

CELERY_CONFIG = DEFAULT_CELERY_CONFIG
