"""
The commands ``airflow executions ...``: names and arguments. What they do is in ``commands/``.

Every ``airflow`` command imports this module, so it imports nothing that Airflow's command line does not import anyway.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command


class _Rest(Arg):
    """All the rest of the command line, options included: it is for another parser."""

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add it, and let nothing count as an option."""
        parser.prefix_chars = "\0"
        super().add_to_parser(parser)


def _arg(*flags: str, kind: type[Arg] = Arg, **options: Any) -> Arg:
    return kind(flags, **options)


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours < float("inf"):
        raise ValueError
    return hours


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_hours.__name__, _number.__name__ = "number of hours", "number"  # for argparse's message
_REF = _arg("ref", metavar="REF", help="ref of the execution, as in the XCom ref of its task")
_CONNECTION = _arg("--conn-id", metavar="CONN", help="Airflow connection; by default buddy_default, tracecat_default or alga_psa_default")
_JSON = _arg("-o", "--output", choices=("table", "json"), default="table", help="output format (default: table)")
_COMMANDS: tuple[tuple[str, str, tuple[Arg, ...]], ...] = (
    (
        "list",
        "List the executions that tasks of this Airflow started or waited for, newest first",
        (
            _arg("--since", metavar="HOURS", type=_hours, default=24.0, help="tasks that began in the last HOURS (default: 24)"),
            _arg("--limit", metavar="N", type=_number, default=50, help="at most N (default: 50)"),
            _arg("--dag-id", metavar="DAG", help="only of this DAG"),
            _arg("--active", action="store_true", help="of all tasks that have not ended instead, whenever they began; oldest first"),
            _JSON,
        ),
    ),
    ("show", "Show an execution as it is now", (_REF, _CONNECTION, _JSON)),
    (
        "cancel",
        "Cancel an execution",
        (_REF, _CONNECTION, _arg("-y", "--yes", action="store_true", help="do not ask"), _JSON),
    ),
    ("logs", "Print the whole log of an execution", (_REF, _CONNECTION)),
    (
        "audit",
        "Audit files or systems; the arguments are those of python -m airflow_provider.audit",
        (_arg("arguments", kind=_Rest, nargs="*"),),
    ),
)


def get_commands() -> list[CLICommand]:
    """The command group, for Airflow."""
    subcommands = tuple(ActionCommand(name=name, help=text, func=_action(name), args=args) for name, text, args in _COMMANDS)
    return [GroupCommand(name="executions", help="Executions in Buddy, Tracecat and AlgaPSA", subcommands=subcommands)]


def _action(name: str) -> Callable[[argparse.Namespace], object]:
    action: Callable[[argparse.Namespace], object] = lazy_load_command(f"airflow_provider.commands.actions.run_{name}")
    return action


def parser() -> argparse.ArgumentParser:
    """The same commands as ``python -m airflow_provider``, for Airflow 3.1, which takes none from providers."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider", description="Executions in Buddy, Tracecat and AlgaPSA.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, args in _COMMANDS:
        command = commands.add_parser(name, help=text, description=f"{text}.")
        command.set_defaults(func=_action(name))
        for arg in args:
            arg.add_to_parser(command)
    return parser
