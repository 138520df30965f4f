"""One function for each command. They print to standard output, and end the process with an exit code if they fail."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO

from airflow_provider import _clock, _compat
from airflow_provider.commands import listing, printing
from airflow_provider.commands.reading import hook_for, result_of, write_log
from airflow_provider.errors import ConfigurationError, ExecutionApiError

FAILED = 1


def run_list(options: argparse.Namespace) -> None:
    """List the executions of recent tasks."""
    with _output() as out:
        since = _clock.utc_now() - timedelta(hours=min(options.since, 24 * 3650.0))
        rows = listing.executions(since, limit=options.limit, dag_id=options.dag_id, active=options.active)
        printing.rows(rows, out, options.output)


def run_show(options: argparse.Namespace) -> None:
    """Show an execution."""
    with _output() as out, hook_for(options.ref, options.conn_id) as hook:
        printing.execution(result_of(hook, hook.run_flow(hook.adapter().details(options.ref))), out, options.output)


def run_cancel(options: argparse.Namespace) -> None:
    """Cancel an execution, and show it as it is then."""
    with _output() as out, hook_for(options.ref, options.conn_id) as hook:
        adapter = hook.adapter()
        if not adapter.can_cancel:
            raise ConfigurationError(f"{adapter.title} can't cancel executions.")
        snapshot = hook.run_flow(adapter.read(options.ref))
        if not snapshot.phase.ended:
            if not options.yes:
                _confirm(f"Cancel {adapter.title} execution {snapshot.ref}, which is {snapshot.phase}?")
            hook.run_flow(adapter.cancel_because("requested", options.ref))
            snapshot = hook.run_flow(adapter.just_changed(options.ref))
        printing.execution(result_of(hook, snapshot), out, options.output)


def run_logs(options: argparse.Namespace) -> None:
    """Print the whole log of an execution."""
    with _output() as out, hook_for(options.ref, options.conn_id) as hook:
        write_log(hook, hook.run_flow(hook.adapter().read(options.ref)), out)


def run_audit(options: argparse.Namespace) -> None:
    """Run an audit."""
    from airflow_provider.audit.__main__ import main

    _compat.look_up_stored_connections()
    sys.exit(main(options.arguments))


def _confirm(question: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError("There is nobody to ask whether to cancel: add --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigurationError("Nothing was cancelled.")


@contextmanager
def _output() -> Iterator[BinaryIO]:
    """
    Standard output. Everything else, such as what Airflow logs, goes to standard error meanwhile.

    An error of this package becomes one line, and the exit code 1.
    """
    _compat.look_up_stored_connections()
    if sys.stdout is None:  # closed by whoever calls
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the rest of the process
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with os.fdopen(os.dup(kept), "wb") as out:
            yield out
    except ExecutionApiError as error:
        sys.exit(_refused(error))
    except BrokenPipeError:  # such as by `head`
        sys.exit(FAILED)
    except OSError as error:  # such as a full disk
        print(f"error: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(FAILED)
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _refused(error: ExecutionApiError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return FAILED
