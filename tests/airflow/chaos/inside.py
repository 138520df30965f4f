"""What runs inside the processes of the chaos run's Airflow."""

from __future__ import annotations

import os


def hostname() -> str:
    """The component's name instead of the machine's: so Airflow itself says which worker has a task, and which triggerer a trigger."""
    return os.environ["CHAOS_COMPONENT"]
