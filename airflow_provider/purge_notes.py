"""
``python -m airflow_provider.purge_notes``: delete notes of tasks that were left behind in Airflow Variables.

Before Airflow 3.3 the notes of a task are Variables, which the task deletes when it is over. Those of tasks that were killed, or ended by
a person, stay. Run this where ``airflow variables`` works: it opens Airflow's database.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from airflow_provider import _clock
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.attempt.variables import NOTE_PREFIX

DAY = 24 * 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider.purge_notes", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--days", type=_days, default=30.0, help="delete notes that are older; more than any task may wait (default: 30)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    options = parser.parse_args(arguments)
    try:
        return _purge(options.days, dry_run=options.dry_run)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _purge(days: float, *, dry_run: bool) -> int:
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_provider.commands.listing import database_named

    old = kept = 0
    with database_named(), create_session() as session:
        for variable in session.scalars(select(Variable).where(Variable.key.startswith(NOTE_PREFIX, autoescape=True))).all():
            if _clock.now() - _saved_at(variable.val) < days * DAY:
                kept += 1
                continue
            old += 1
            print(f"{variable.key}: {variable.description}")
            if not dry_run:
                session.delete(variable)
    print(f"{old} notes {'would be deleted' if dry_run else 'deleted'}, {kept} are younger than {days:g} days.")
    return 0


def _days(text: str) -> float:
    """
    A number of days.

    :raises ArgumentTypeError: if it is none: notes of running tasks must stay.
    """
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 < days < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return days


def _saved_at(text: Any) -> float:
    """When a note was saved, in epoch seconds; 0 for one that can't be read."""
    try:
        return float(json.loads(text)["saved_at"])
    except (ValueError, KeyError, TypeError):
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
