"""Tables for people, JSON for programs. Remote text in tables is made plain first."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from typing import Any, BinaryIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_provider.commands.listing import ListedExecution
from airflow_provider.execution.model.result import ExecutionResult
from airflow_provider.execution.results.redaction import clean

PIPED_WIDTH = 200
"""Columns of a table that does not go to a terminal."""


def rows(executions: Sequence[ListedExecution], out: BinaryIO, output: str) -> None:
    """Print a list of executions."""
    if output == "json":
        _json(executions, out)
        return
    table = _table("system", "phase", "state", "since", "task", "ref")
    for one in executions:
        mapped = "" if one["map_index"] < 0 else f"[{one['map_index']}]"
        task = f"{one['dag_id']}.{one['task_id']}{mapped} {one['run_id']}"
        _add(table, one["system"], one["phase"], one["state"], (one["since"] or "")[:19], task, one["ref"])
    _print(out, table if executions else "No executions.")


def execution(result: ExecutionResult, out: BinaryIO, output: str) -> None:
    """Print an execution."""
    if output == "json":
        _json(result, out)
        return
    facts = _table("", "", header=False)
    for name in ("system", "ref", "phase", "status", "progress", "waiting_for", "error", "started_at", "finished_at", "duration", "url"):
        if result[name] is not None:
            _add(facts, name, result[name])
    for name, value in result["outputs"].items():
        _add(facts, f"output {name}", value if isinstance(value, str) else json.dumps(value))
    for name, reason in result["outputs_omitted"].items():
        _add(facts, f"output {name}", f"({reason})")
    steps = _table("step", "phase", "started_at", "duration", "error")
    for step in result["steps"]:
        _add(steps, step["name"], step["phase"], (step["started_at"] or "")[:19], step["duration"], step["error"])
    tail = "\n".join(clean(line) for line in result["log_tail"])
    _print(out, *[part for part in (facts, result["steps"] and steps, tail) if part])


def _json(value: Any, out: BinaryIO) -> None:
    out.write(json.dumps(value, indent=2).encode() + b"\n")


def _table(*columns: str, header: bool = True) -> Table:
    table = Table(box=box.SIMPLE if header else None, show_header=header)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add(table: Table, *cells: object) -> None:
    table.add_row(*(Text("" if cell is None else clean(cell)) for cell in cells))


def _print(out: BinaryIO, *parts: Table | str) -> None:
    is_terminal = out.isatty()
    text = io.TextIOWrapper(out, encoding="utf-8", errors="replace", write_through=True)
    width = shutil.get_terminal_size().columns if is_terminal else PIPED_WIDTH
    console = Console(file=text, width=width, force_terminal=is_terminal)
    for part in parts:
        console.print(Text(part) if isinstance(part, str) else part)
    text.detach()
