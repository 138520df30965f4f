"""
``python -m airflow_provider.purge_notes``: delete notes of tasks that were left behind in Airflow Variables.

Before Airflow 3.3 the notes of a task are Variables, which the task deletes when it is over. Those of tasks that were killed, or ended by
a person, stay. Run this where ``airflow variables`` works: it opens Airflow's database.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from airflow_provider import _clock
from airflow_provider.execution.attempt.variables import NOTE_PREFIX

DAY = 24 * 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider.purge_notes", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--days", type=float, default=30.0, help="delete notes that are older; more than any task may wait (default: 30)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    options = parser.parse_args(arguments)
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    old = kept = 0
    with create_session() as session:
        for variable in session.scalars(select(Variable).where(Variable.key.startswith(NOTE_PREFIX, autoescape=True))).all():
            if _clock.now() - _saved_at(variable.val) < options.days * DAY:
                kept += 1
                continue
            old += 1
            print(f"{variable.key}: {variable.description}")
            if not options.dry_run:
                session.delete(variable)
    print(f"{old} notes {'would be deleted' if options.dry_run else 'deleted'}, {kept} are younger than {options.days:g} days.")
    return 0


def _saved_at(text: Any) -> float:
    """When a note was saved, in epoch seconds; 0 for one that can't be read."""
    try:
        return float(json.loads(text)["saved_at"])
    except (ValueError, KeyError, TypeError):
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
