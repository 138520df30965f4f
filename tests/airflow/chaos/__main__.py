"""
``make chaos``: tasks of all three systems in a real Airflow whose parts are killed meanwhile, and what came of them.

Exit code 0 if nothing was started twice, lost, wrongly cancelled or orphaned, and each control failed as it must; 1 if not.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from signal import SIGKILL, SIGTERM

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.airflow.chaos import services
from tests.airflow.chaos.chaos import Chaos, Say
from tests.airflow.chaos.cluster import Cluster
from tests.airflow.chaos.remote import Remote
from tests.airflow.chaos.verdict import COUNTS, Verdict, judge
from tests.airflow.local_airflow import LocalAirflowError

DAGS = ("chaos", "control_worker1", "control_worker2", "acts", "acts_timeout")
SYSTEMS = {"buddy": "Buddy", "tracecat": "Tracecat", "alga_psa": "AlgaPSA"}
CONTROLS = {"re-attachment": ("worker1", SIGKILL, "duplicates"), "guard": ("worker2", SIGTERM, "wrongly cancelled")}
"""What is switched off; in which worker, how that is ended, and what has to show then."""


def short(chaos: Chaos) -> None:
    """Everything once, in a hurry."""
    chaos.begin()
    chaos.break_worker(SIGKILL, while_starting=True)
    chaos.break_worker(SIGTERM)
    chaos.break_triggerer(SIGKILL)
    chaos.begin()
    chaos.break_worker(SIGTERM, while_starting=True)
    chaos.break_worker(SIGKILL)
    chaos.break_triggerer(SIGTERM)
    chaos.restart_postgres()
    chaos.begin()
    chaos.without_api(30.0)
    chaos.restart_scheduler(SIGTERM)
    chaos.without_remote(15.0)
    chaos.stop_triggerer()
    chaos.persons("mark failed", "clear")


def full(chaos: Chaos) -> None:
    """Everything, with the outages at their full length; each event has new tasks to hit."""
    for how in (SIGKILL, SIGTERM):
        chaos.begin()
        chaos.break_worker(how, while_starting=True)
        chaos.break_triggerer(how)
        chaos.begin()
        chaos.break_worker(how)
        chaos.restart_scheduler(how)
    chaos.begin()
    chaos.orphan_tasks()
    chaos.restart_postgres()
    chaos.begin()
    chaos.stop_triggerer()
    chaos.begin()
    chaos.without_api(150.0)
    chaos.begin()
    chaos.without_remote(120.0)
    chaos.persons("mark failed", "mark success", "clear", "fail run", "time out")
    chaos.begin()
    chaos.stop_triggerer()
    chaos.begin()
    chaos.break_worker(SIGTERM, while_starting=True)
    chaos.break_worker(SIGKILL)


def control(cluster: Cluster, remote: Remote, say: Say) -> dict[str, Verdict]:
    """Kill a worker that can't re-attach, and terminate one that does not ask who kills: both in the middle of the wait."""
    chaos = {without: Chaos(cluster, remote, say, f"control_{worker}") for without, (worker, _, _) in CONTROLS.items()}
    for without, (worker, _, _) in CONTROLS.items():
        say(f"Control: {worker} without {without}")
        cluster.sabotage_worker(worker, without)
        chaos[without].begin()
    for without, (worker, how, _) in CONTROLS.items():
        chaos[without].break_worker(how, among=[worker])
    for one in chaos.values():
        one.await_end(180.0)
    return {without: judge(cluster, remote, one.expected, one.runs) for without, one in chaos.items()}


def row(table: Table, title: str, verdict: Verdict, system: str | None = None, expected: str | None = None) -> None:
    """One row: of a system, or of all."""
    cells = []
    for name in COUNTS:
        number = verdict.total(name) if system is None else verdict.counts[name][system]
        fine = number > 0 if name == expected else number == 0 or expected is not None
        cells.append(f"[{'green' if fine else 'red'}]{number}[/]")
    numbers = [
        count.total() if system is None else count[system] for count in (verdict.tasks, verdict.tries, verdict.attempts, verdict.started)
    ]
    table.add_row(title, *map(str, numbers), *cells)


def report(console: Console, verdict: Verdict, controls: dict[str, Verdict]) -> bool:
    """Print the table, and tell whether all is as it should be."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(no_wrap=True)
    for name in ("tasks", "tries", "attempts", "started", *COUNTS):
        table.add_column(name, justify="right")
    for system, title in SYSTEMS.items():
        row(table, title, verdict, system)
    table.add_section()
    row(table, "[bold]all[/]", verdict)
    for without, found in controls.items():
        row(table, f"control: without {without}", found, expected=CONTROLS[without][2])
    console.print(table)
    for text in verdict.findings:
        console.print(f"[red]✘[/] {escape(text)}", soft_wrap=True)
    blind = {without: count for without, (_, _, count) in CONTROLS.items() if not controls[without].total(count)}
    for without, count in blind.items():
        console.print(f"[red]✘[/] The control without {without} shows nothing {count}: so the zeros above prove nothing.")
    return not verdict.findings and not blind


def run(console: Console, home: Path, in_short: bool) -> bool:
    """All of it, in a fresh Airflow."""
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[bright_black]{time.monotonic() - began:6.1f} s[/]  {escape(text)}", soft_wrap=True)

    if installed := services.install():
        say(f"Installed {', '.join(installed)}")
    remote = Remote(home)
    try:
        with Cluster(home, connections=remote.start()) as cluster:
            say(f"Airflow {version('apache-airflow')} is up: PostgreSQL, Redis, 2 Celery workers, 2 triggerers")
            cluster.unpause(*DAGS)
            chaos = Chaos(cluster, remote, say)
            (short if in_short else full)(chaos)
            chaos.await_end(300.0)
            say("All tasks have ended")
            verdict = judge(cluster, remote, chaos.expected, chaos.runs)
            say("Judged")
            controls = control(cluster, remote, say)
    finally:
        remote.stop()
    fine = report(console, verdict, controls)
    say("All as it should be." if fine else "Not as it should be.")
    return fine


def main() -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.airflow.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer tasks, and shorter outages")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    signal.signal(SIGTERM, signal.default_int_handler)  # whoever ends this ends all that it started
    home = Path(tempfile.mkdtemp(prefix="airflow-chaos-"))
    fine = False
    try:
        fine = run(console, home, options.short)
    except (LocalAirflowError, TimeoutError) as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("[red]Interrupted.[/]")
        return 130
    finally:
        if fine:
            shutil.rmtree(home, ignore_errors=True)
        else:
            console.print(f"What its parts printed is in {home}", soft_wrap=True)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
