"""
Audits without a scheduler, of files or of connections. See ``python -m airflow_provider.audit --help``.

What takes long to import is imported where it is needed: Airflow for connections only.
"""

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
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    from airflow_provider._alone import do_without_airflow

    do_without_airflow()

from airflow_provider import __version__, _clock
from airflow_provider.audit.reports import FORMATS
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.audit.settings.texts import written
from airflow_provider.errors import ConfigurationError, ConnectionMissing, ExecutionApiError

if TYPE_CHECKING:
    from airflow_provider.audit.engine.result import AuditResult
    from airflow_provider.audit.facts.fact import Fact
    from airflow_provider.audit.settings.model import AuditSettings

GOOD, USAGE, NOT_READ, INCOMPLETE, EMPTY, MISSING = 0, 2, 3, 4, 5, 6
CLOSED = 141
"""As shells tell of a program that writes to a closed pipe."""
WORST = {Severity.INFO: 11, Severity.LOW: 12, Severity.MEDIUM: 13, Severity.HIGH: 14, Severity.CRITICAL: 15}
SHOWN_GAPS = 5
"""Number of gaps that standard error names; the report has all."""
_SPAN = re.compile(r"(\d{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}
_EXIT_CODES = """
exit codes:
  0   no finding at or above the fail line
  2   invalid arguments, settings, waivers, baseline or input
  3   an API is unavailable or rejects the credential
  4   not everything could be read or checked
  5   nothing was checked
  6   something that was named does not exist, such as a project
  11 to 15  the most severe finding at or above the fail line is info, low, medium, high, critical
Of several, the first of 2, 3, 6, 5, 4, 11 to 15 counts. --allow gaps, empty or missing switches 4, 5 or 6 off.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run an audit.

    :param arguments: by default those of the command line.
    :returns: the exit code.
    """
    _prepare_output()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough, such as ``head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter, which flushes once more at its end
        return CLOSED
    return code


def _prepare_output() -> None:
    """Nothing that a report holds may end the command: neither a closed standard output nor one that lacks a character."""
    if sys.stdout is None:  # closed by whoever calls
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the rest of the process
    elif hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["export"]:
        return _export(given[1:])
    parser = _parser()
    options = parser.parse_args(given)
    if options.list_rules or options.explain:
        return _about_rules(options)
    if not (options.files or options.configuration or options.executions):
        parser.error("nothing to audit: specify files, --configuration or --executions")
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    log = logging.getLogger("airflow_provider.audit")
    log.setLevel(logging.INFO if options.verbose else logging.WARNING)
    unread: list[ConfigurationError] = []
    try:
        _check_outputs(options)
        with _logs_on_standard_error():
            settings = _settings(options)
            result = _audit(options, settings, log, unread)
        if unread and not result.checked:
            return _refused(unread[0], USAGE)
        if options.trend:
            from airflow_provider.audit.engine.trend import remember

            result.trend = remember(Path(options.trend), result)
        _report(options, settings, result)
        if options.save_baseline:
            _made(options.save_baseline).write_text(result.baseline.to_json(), encoding="utf-8")
    except (ConfigurationError, ConnectionMissing) as error:
        return _refused(error, USAGE)
    except ExecutionApiError as error:
        return _refused(error, NOT_READ)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _refused(f"{error.filename or 'the output'}: {error.strerror}", USAGE)
    return _code(result, settings, options)


def _check_outputs(options: argparse.Namespace) -> None:
    """
    No file that is read may be overwritten, but a baseline by the next one.

    :raises ConfigurationError: if one would be.
    """
    read = {Path(name).resolve(): "is read" for name in (*options.files, options.settings, options.waivers) if name and name != "-"}
    for option, name in (("--output", options.output), ("--save-baseline", options.save_baseline), ("--trend", options.trend)):
        if name and (why := read.setdefault(Path(name).resolve(), f"is written by {option}")) != f"is written by {option}":
            raise ConfigurationError(f"{option}: {name} {why} as well, and would be overwritten. Name another file.")


def _made(name: str) -> Path:
    """The path of a file, whose folder is made if there is none."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _export(arguments: Sequence[str]) -> int:
    from airflow_provider.audit.collect.command import export

    try:
        count, gaps = export(arguments, _wanted_of, _logs_on_standard_error)
    except (ConfigurationError, ConnectionMissing) as error:
        return _refused(error, USAGE)
    except ExecutionApiError as error:
        return _refused(error, NOT_READ)
    except OSError as error:
        return _refused(f"{error.filename or 'the output'}: {error.strerror}", USAGE)
    print(f"{count} records" + (f"; {gaps} things could not be read, and are among the records as gaps" if gaps else ""), file=sys.stderr)
    return INCOMPLETE if gaps else GOOD


def _wanted_of(options: argparse.Namespace) -> list[dict[str, Any]]:
    window = _window(options, _clock.utc_now()) if options.executions else None
    return [_wanted(text, None) for text in options.configuration] + [_wanted(text, window) for text in options.executions]


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
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider.audit",
        description="Audit files, or the systems behind Airflow connections. "
        "To write records, see: python -m airflow_provider.audit export --help",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"airflow-provider-executions {__version__}")
    parser.add_argument("--list-rules", action="store_true", help="list all rules")
    parser.add_argument(
        "--explain", type=written, metavar="RULE", help="explain a rule, by its id or name: what it finds, why, and how to fix it"
    )
    read = parser.add_argument_group("what to audit")
    read.add_argument(
        "files",
        nargs="*",
        type=written,
        metavar="FILE",
        help="buddy.yml, Tracecat workflows, answers of the APIs or exported records; or a folder of them; - for standard input",
    )
    read.add_argument(
        "--configuration", action="append", type=written, default=[], metavar="CONN[=SCOPE]",
        help="the pipelines of a Buddy connection, scope: workspace[/project[/pipeline]]; "
        "or the workflows of a Tracecat connection, scope as for --executions. May be repeated",
    )  # fmt: skip
    read.add_argument(
        "--executions",
        action="append",
        type=written,
        default=[],
        metavar="CONN[=SCOPE]",
        help="the executions of a connection. May be repeated",
    )
    read.add_argument("--since", metavar="TIME", help="start of the window: ISO 8601, or a duration before its end such as 36h or 7d")
    read.add_argument("--until", metavar="TIME", help="end of the window: ISO 8601; by default now")
    check = parser.add_argument_group("how to check")
    check.add_argument("--settings", type=written, metavar="FILE", help="TOML or YAML")
    check.add_argument("--waivers", type=written, metavar="FILE", help="TOML or YAML")
    check.add_argument(
        "--baseline",
        type=written,
        metavar="FILE",
        help="file written by an earlier --save-baseline, to find out what is new and what is fixed",
    )
    check.add_argument("--save-baseline", type=written, metavar="FILE", help="write a baseline for the next audit")
    check.add_argument(
        "--fail-on", choices=[*map(str, Severity), "never"], help="lowest severity that fails; by default fail_on of the settings"
    )
    check.add_argument(
        "--allow", action="append", default=[], choices=["gaps", "empty", "missing"],
        help="do not fail if something could not be read or checked, if nothing was checked, or if something named does not exist."
        " May be repeated",
    )  # fmt: skip
    out = parser.add_argument_group("what to write")
    out.add_argument("--format", choices=list(FORMATS), default="table")
    out.add_argument("--output", type=written, metavar="FILE", help="by default standard output")
    out.add_argument(
        "--trend", type=written, metavar="FILE", help="file that keeps the counts of the last 30 audits, for the trend in the reports"
    )
    out.add_argument("--verbose", action="store_true", help="log the progress to standard error")
    return parser


def _about_rules(options: argparse.Namespace) -> int:
    from airflow_provider.audit.rules.texts import explained, listed

    try:
        print(explained(options.explain) if options.explain else listed())
    except ConfigurationError as error:
        return _refused(error, USAGE)
    return GOOD


def _settings(options: argparse.Namespace) -> AuditSettings:
    from airflow_provider.audit.settings.model import load_settings

    settings = load_settings(options.settings)
    if options.fail_on and options.fail_on != "never":
        settings = settings.model_copy(update={"fail_on": settings.fail_on.model_copy(update={"severity": Severity(options.fail_on)})})
    return settings


def _audit(options: argparse.Namespace, settings: AuditSettings, log: logging.Logger, unread: list[ConfigurationError]) -> AuditResult:
    """Audit. Files that can't be read at all are added to ``unread``."""
    from airflow_provider.audit.airflow_task.task import run_audit

    now = _clock.utc_now()
    window = _window(options, now) if options.since is not None or options.executions else None
    if options.until is not None and window is None:
        raise ConfigurationError("--until requires --since or --executions.")
    if options.baseline and not Path(options.baseline).is_file():
        problem = "is no file" if Path(options.baseline).exists() else "does not exist"
        raise ConfigurationError(f"--baseline: {options.baseline} {problem}.")
    from airflow_provider.audit.records.missing_actions import with_gaps

    wanted = [_wanted(text, None) for text in options.configuration] + [_wanted(text, window) for text in options.executions]
    with ExitStack() as stack:
        seen: set[Path] = set()
        facts: list[Iterator[Fact]] = [with_gaps(chain.from_iterable(_facts_of_file(name, unread, seen) for name in options.files))]
        if wanted:
            from airflow_provider.audit.collect.collector import collected

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

    since, until = _moment(options.since, "--since"), _moment(options.until, "--until")
    end = moment(until, "--until") or now
    if isinstance(since, str) and (span := _SPAN.fullmatch(since)):
        try:
            since = end - timedelta(hours=int(span[1]) * _HOURS[span[2]])
        except OverflowError:
            raise ConfigurationError(f"--since: {options.since} is longer than time is counted.") from None
    try:
        begin = moment(since, "--since")
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} A duration before the end of the window is written as 36h, 7d or 2w.") from None
    return window(begin, end, None, now)


def _moment(text: str | None, name: str) -> datetime | str | None:
    """A moment in a common form, which is parsed without Airflow; other texts unchanged. An empty one is a mistake of whoever calls."""
    if text is not None and not text.strip():
        raise ConfigurationError(f"{name} is empty.")
    try:
        return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip())) if text else None
    except ValueError:
        return text


def _wanted(text: str, window: tuple[datetime, datetime] | None) -> dict[str, Any]:
    from airflow_provider.audit.collect import buddy
    from airflow_provider.execution.http.connection_settings import type_of

    conn_id, _, scope = text.partition("=")
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")  # else Airflow does not look into its database
    system = type_of(conn_id, f"Create it, or set AIRFLOW_CONN_{conn_id.upper()}.")
    wanted: dict[str, Any] = {"system": system, "conn_id": conn_id}
    if window is None:
        return {**wanted, **buddy.place_of(scope or None)} if system == "buddy" else {**wanted, "scope": scope or None}
    return {**wanted, "scope": scope or None, "since": window[0].isoformat(), "until": window[1].isoformat()}


def _facts_of_file(name: str, unread: list[ConfigurationError], seen: set[Path]) -> Iterator[Fact]:
    """The facts of a file or a folder; a gap if it exists but can't be read."""
    from airflow_provider.audit.definitions.inputs import facts_in
    from airflow_provider.audit.facts.fact import Subject
    from airflow_provider.audit.facts.gap import GapFacts

    try:
        yield from facts_in(name, _records_in, seen)
    except ConfigurationError as error:
        unread.append(error)
        yield GapFacts(subject=Subject(f"file:{name}", "file", name, "audit", ""), reason=str(error))


def _records_in(name: str) -> Iterator[Fact]:
    from airflow_provider.audit.records.files import facts_in

    if name != "-":
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            yield from facts_in(file, name)
        return
    from airflow_provider.audit.definitions.inputs import facts_in_input

    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    yield from facts_in_input(sys.stdin, facts_in)


def _report(options: argparse.Namespace, settings: AuditSettings, result: AuditResult) -> None:
    from airflow_provider.audit.reports import table, write

    if options.output:
        with _made(options.output).open("w", encoding="utf-8") as file:
            write(options.format, result, file, settings)
    elif options.format == "table":
        from rich.console import Console

        table.show(result, Console(width=None if sys.stdout.isatty() else table.WIDTH))
    else:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8")  # as these formats are, whatever the console takes
        write(options.format, result, sys.stdout, settings)


def _code(result: AuditResult, settings: AuditSettings, options: argparse.Namespace) -> int:
    if problem := result.problem(options.allow):
        for gap in result.gaps[:SHOWN_GAPS]:
            print(f"not read: {gap.subject.id}: {gap.reason}", file=sys.stderr)
        return _refused(problem.text, {"missing": MISSING, "empty": EMPTY, "gaps": INCOMPLETE}[problem.kind])
    if options.fail_on == "never":
        return GOOD
    failing = (*(finding.severity for finding in result.failing(settings)), *result.failing_omitted(settings))
    return max((WORST[severity] for severity in failing), default=GOOD)


def _refused(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
