"""Audits without a scheduler, of exported JSON or of connections. See ``python -m airflow_provider.audit --help``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from airflow_provider import _clock
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.facts.fact import Fact
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.audit.settings.model import AuditSettings, load_settings
from airflow_provider.errors import ConfigurationError, ExecutionApiError

GOOD, USAGE, NOT_READ, INCOMPLETE = 0, 2, 3, 4
WORST = {Severity.INFO: 11, Severity.LOW: 12, Severity.MEDIUM: 13, Severity.HIGH: 14, Severity.CRITICAL: 15}
_SPAN = re.compile(r"(\d{1,5})([hd])")
_EXIT_CODES = """
exit codes:
  0   no finding at or above the fail line
  2   invalid arguments, settings, waivers, baseline or input
  3   an API is unavailable or rejects the credential
  4   with --fail-on-gaps: not everything could be read or checked
  11 to 15  the most severe finding at or above the fail line is info, low, medium, high, critical
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run an audit.

    :param arguments: by default those of the command line.
    :returns: the exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.files or options.configuration or options.executions):
        parser.error("nothing to audit: specify files, --configuration or --executions")
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    log = logging.getLogger("airflow_provider.audit")
    log.setLevel(logging.INFO if options.verbose else logging.WARNING)
    try:
        with _logs_on_standard_error():
            settings = _settings(options)
            result = _audit(options, settings, log)
        _report(options, settings, result)
        if options.save_baseline:
            Path(options.save_baseline).write_text(result.baseline.to_json(), encoding="utf-8")
    except ConfigurationError as error:
        return _refused(error, USAGE)
    except ExecutionApiError as error:
        return _refused(error, NOT_READ)
    except OSError as error:
        return _refused(f"{error.filename or 'the output'}: {error.strerror}", USAGE)
    return _code(result, settings, options)


@contextmanager
def _logs_on_standard_error() -> Iterator[None]:
    """Redirect Airflow's loggers, which write to standard output, since that is for the report."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _parser() -> argparse.ArgumentParser:
    from airflow_provider.audit.reports import FORMATS

    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider.audit",
        description="Audit exported JSON, or the systems behind Airflow connections.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    read = parser.add_argument_group("what to audit")
    read.add_argument("files", nargs="*", metavar="FILE", help="exported records, JSON or JSON lines; - for standard input")
    read.add_argument(
        "--configuration", action="append", default=[], metavar="CONN[=SCOPE]",
        help="the pipelines of a Buddy connection; scope: workspace[/project[/pipeline]]. May be repeated",
    )  # fmt: skip
    read.add_argument(
        "--executions", action="append", default=[], metavar="CONN[=SCOPE]", help="the executions of a connection. May be repeated"
    )
    read.add_argument("--since", metavar="TIME", help="start of the window: ISO 8601, or a duration before its end such as 36h or 7d")
    read.add_argument("--until", metavar="TIME", help="end of the window: ISO 8601; by default now")
    check = parser.add_argument_group("how to check")
    check.add_argument("--settings", metavar="FILE", help="TOML or YAML")
    check.add_argument("--waivers", metavar="FILE", help="TOML or YAML")
    check.add_argument(
        "--baseline", metavar="FILE", help="file written by an earlier --save-baseline, to find out what is new and what is fixed"
    )
    check.add_argument("--save-baseline", metavar="FILE", help="write a baseline for the next audit")
    check.add_argument(
        "--fail-on", choices=[*map(str, Severity), "never"], help="lowest severity that fails; by default fail_on of the settings"
    )
    check.add_argument("--fail-on-gaps", action="store_true", help="fail if something could not be read or checked")
    out = parser.add_argument_group("what to write")
    out.add_argument("--format", choices=list(FORMATS), default="table")
    out.add_argument("--output", metavar="FILE", help="by default standard output")
    out.add_argument("--verbose", action="store_true", help="log the progress to standard error")
    return parser


def _settings(options: argparse.Namespace) -> AuditSettings:
    settings = load_settings(options.settings)
    if options.fail_on and options.fail_on != "never":
        settings = settings.model_copy(update={"fail_on": settings.fail_on.model_copy(update={"severity": Severity(options.fail_on)})})
    return settings


def _audit(options: argparse.Namespace, settings: AuditSettings, log: logging.Logger) -> AuditResult:
    from airflow_provider.audit.airflow_task.task import run_audit
    from airflow_provider.audit.collect.collector import collected

    now = _clock.utc_now()
    window = _window(options, now) if options.since or options.executions else None
    if options.until and window is None:
        raise ConfigurationError("--until requires --since or --executions.")
    if options.baseline and not Path(options.baseline).is_file():
        raise ConfigurationError(f"--baseline: the file {options.baseline} does not exist.")
    wanted = [_wanted(text, None) for text in options.configuration] + [_wanted(text, window) for text in options.executions]
    with ExitStack() as stack:
        facts: list[Iterator[Fact]] = [_facts_in(name) for name in options.files]
        if wanted:
            facts.append(stack.enter_context(collected(wanted, log)))
        return run_audit(
            chain.from_iterable(facts),
            settings,
            now=now,
            since=window[0] if window else None,
            until=window[1] if window else None,
            waivers=options.waivers,
            baseline=Path(options.baseline) if options.baseline else None,
            progress=lambda count, findings: log.info("Checked %d facts: %d findings.", count, findings),
        )


def _window(options: argparse.Namespace, now: datetime) -> tuple[datetime, datetime]:
    from airflow_provider.audit.airflow_task.task import window
    from airflow_provider.execution.model.arguments import moment

    span = _SPAN.fullmatch(options.since or "")
    if span is None:
        return window(options.since, options.until, None, now)
    end = moment(options.until, "--until") or now
    return window(end - timedelta(hours=int(span[1]) * (24 if span[2] == "d" else 1)), end, None, now)


def _wanted(text: str, window: tuple[datetime, datetime] | None) -> dict[str, Any]:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_provider.audit.collect import buddy

    conn_id, _, scope = text.partition("=")
    try:
        system = BaseHook.get_connection(conn_id).conn_type
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Connection {conn_id!r} does not exist in Airflow. Create it, or set AIRFLOW_CONN_{conn_id.upper()}."
        ) from None
    wanted: dict[str, Any] = {"system": system, "conn_id": conn_id}
    if window is None:
        return {**wanted, **buddy.place_of(scope or None)}
    return {**wanted, "scope": scope or None, "since": window[0].isoformat(), "until": window[1].isoformat()}


def _facts_in(name: str) -> Iterator[Fact]:
    """The facts of a file. Invalid records are errors, since skipped ones would go unnoticed."""
    from airflow_provider.audit.records.export import facts_of, read_records

    number = 0
    with ExitStack() as stack:
        file = sys.stdin if name == "-" else stack.enter_context(Path(name).open(encoding="utf-8"))
        try:
            for record in read_records(file):
                number += 1
                yield from facts_of(record)
        except (ConfigurationError, UnicodeDecodeError) as error:
            where = f", record {number}" if number and not str(error).startswith("Line ") else ""
            raise ConfigurationError(f"{name}{where}: {error}") from None


def _report(options: argparse.Namespace, settings: AuditSettings, result: AuditResult) -> None:
    from airflow_provider.audit.reports import table, write

    if options.output:
        with Path(options.output).open("w", encoding="utf-8") as file:
            write(options.format, result, file, settings)
    elif options.format == "table":
        from rich.console import Console

        table.show(result, Console(width=None if sys.stdout.isatty() else table.WIDTH))
    else:
        write(options.format, result, sys.stdout, settings)


def _code(result: AuditResult, settings: AuditSettings, options: argparse.Namespace) -> int:
    failing = [] if options.fail_on == "never" else result.failing(settings)
    if failing:
        return max(WORST[finding.severity] for finding in failing)
    return INCOMPLETE if options.fail_on_gaps and not result.complete else GOOD


def _refused(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
