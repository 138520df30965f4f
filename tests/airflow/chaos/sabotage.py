"""
For the controls: Airflow, without the part of the provider that the chaos run is to prove.

``python -m tests.airflow.chaos.sabotage guard triggerer ...`` is ``airflow triggerer ...``. The processes of tasks and triggers are
forked from this one, and lack it too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from airflow.__main__ import main

from airflow_provider.execution.attempt import termination
from airflow_provider.execution.attempt import variables as variables  # before Airflow 3.3 it asks as well, and has to go on doing so
from airflow_provider.execution.tasks import cancel_on_kill, existing, start_once


def replace(name: str, by: Callable[[Any], Any], *modules: ModuleType) -> None:
    for module in modules:
        assert callable(getattr(module, name)), "it has another name by now"
        setattr(module, name, by)


def take_out(part: str) -> None:
    """
    Take a part out of the provider, in this process.

    :param part: ``re-attachment``: no note of an earlier try is found. ``guard``: nobody asks why a task is terminated, it is always a
        person.
    """
    if part == "re-attachment":
        replace("load_note", lambda context: None, start_once, existing)
    elif part == "guard":
        replace("ask", lambda key: termination.Verdict.CANCEL, termination, cancel_on_kill)
    else:
        raise SystemExit(f"There is no part {part!r}.")


if __name__ == "__main__":
    take_out(sys.argv.pop(1))
    main()
