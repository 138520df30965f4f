"""``python -m airflow_provider.audit export``: writes what an audit would read, as records."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from airflow_provider.audit.collect.collector import collected_records
from airflow_provider.audit.settings.texts import written

DESCRIPTION = """\
Write the configuration and executions behind Airflow connections as records, one JSON object in each line. The audit reads them without a
connection. Records contain what the systems contain, secrets included: the file can only be read by its owner. Do not commit it.
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        prog="python -m airflow_provider.audit export", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--configuration", "--executions"):
        made.add_argument(name, action="append", type=written, default=[], metavar="CONN[=SCOPE]", help="as for an audit. May be repeated")
    made.add_argument("--since", metavar="TIME", help="start of the window: ISO 8601, or a duration before its end such as 36h or 7d")
    made.add_argument("--until", metavar="TIME", help="end of the window: ISO 8601; by default now")
    made.add_argument("--output", type=written, metavar="FILE", help="by default standard output")
    made.add_argument("--verbose", action="store_true", help="log the progress to standard error")
    return made


def export(
    arguments: Sequence[str], wanted_of: Callable[[argparse.Namespace], list[dict[str, Any]]], quiet: Callable[[], Any]
) -> tuple[int, int]:
    """
    Run the command.

    :param wanted_of: what to read, from the arguments.
    :param quiet: a context in which nothing else writes to standard output.
    :returns: number of records, and number of those that say what could not be read.
    :raises ConfigurationError: if a connection, a scope or a time is invalid.
    :raises ExecutionApiError: if an API is unavailable, or rejects the credential.
    """
    made = parser()
    options = made.parse_args(arguments)
    if not (options.configuration or options.executions):
        made.error("nothing to export: specify --configuration or --executions")
    log = logging.getLogger("airflow_provider.audit")
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO if options.verbose else logging.WARNING)
    with ExitStack() as stack:
        with quiet():
            records = stack.enter_context(collected_records(wanted_of(options), log))
        return _write(records, stack.enter_context(_output(options.output)))


def _write(records: Iterable[Any], file: IO[str]) -> tuple[int, int]:
    count = gaps = 0
    for record in records:
        file.write(json.dumps(record, ensure_ascii=True) + "\n")
        count, gaps = count + 1, gaps + (record.get("kind") == "gap")
    return count, gaps


@contextmanager
def _output(name: str | None) -> Iterator[IO[str]]:
    if name is None:
        yield sys.stdout
        return
    # Not by a later chmod: somebody could open it in between.
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    Path(name).chmod(0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yield file
