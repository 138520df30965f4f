"""
``make chaos``: tasks of all three systems in a real Airflow whose parts are killed meanwhile, and what came of them.

Exit code 0 if nothing was started twice, lost, wrongly cancelled or orphaned, and each control did harm as it must; 1 if not.
With ``--without`` the run itself is a control: 0 if it did harm.
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
from tests.airflow.chaos.chaos import DEADLINE, Chaos, Say
from tests.airflow.chaos.cluster import TRIGGERERS, WORKERS, Cluster
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
        cluster.sabotage(without, worker)
        chaos[without].begin()
    for without, (worker, how, _) in CONTROLS.items():
        chaos[without].break_worker(how, among=[worker])
    for one in chaos.values():
        one.await_end(DEADLINE)
    return {without: judge(cluster, remote, one.expected, one.runs) for without, one in chaos.items()}


def row(table: Table, title: str, verdict: Verdict, system: str | None = None, expected: str | None = None) -> None:
    """One row: of a system, or of all."""
    cells = []
    for name in COUNTS:
        number = verdict.total(name) if system is None else verdict.counts[name][system]
        fine = verdict.total(name) > 0 if name == expected else number == 0 or expected is not None
        cells.append(f"[{'green' if fine else 'red'}]{number}[/]")
    numbers = [
        count.total() if system is None else count[system] for count in (verdict.tasks, verdict.tries, verdict.attempts, verdict.started)
    ]
    table.add_row(title, *map(str, numbers), *cells)


def report(console: Console, verdict: Verdict, controls: dict[str, Verdict], without: str | None = None) -> bool:
    """
    Print the table, and tell whether all is as it should be.

    :param controls: those besides the run. :param without: what the run itself was without, if it is a control.
    """
    expected = CONTROLS[without][2] if without else None
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(no_wrap=True)
    for name in ("tasks", "tries", "attempts", "started", *COUNTS):
        table.add_column(name, justify="right")
    for system, title in SYSTEMS.items():
        row(table, title, verdict, system, expected)
    table.add_section()
    row(table, f"[bold]all{f', without {without}' if without else ''}[/]", verdict, expected=expected)
    for part, found in controls.items():
        row(table, f"control: without {part}", found, expected=CONTROLS[part][2])
    console.print(table)
    for text in verdict.findings:
        console.print(f"{'·' if without else '[red]✘[/]'} {escape(text)}", soft_wrap=True)
    proofs = {without: verdict} if without else controls
    blind = [part for part, found in proofs.items() if not found.total(CONTROLS[part][2])]
    for part in blind:
        console.print(f"[red]✘[/] The control without {part} shows no {CONTROLS[part][2]}: so zeros of it prove nothing.")
    return not blind and (without is not None or not verdict.findings)


def run(console: Console, home: Path, in_short: bool, without: str | None) -> bool:
    """All of it, in a fresh Airflow; ``without`` a part of the provider in every worker and triggerer."""
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[bright_black]{time.monotonic() - began:6.1f} s[/]  {escape(text)}", soft_wrap=True)

    if installed := services.install():
        say(f"Installed {', '.join(installed)}")
    remote = Remote(home)
    try:
        with Cluster(home, connections=remote.start()) as cluster:
            say(f"Airflow {version('apache-airflow')} is up: PostgreSQL, Redis, 2 Celery workers, 2 triggerers")
            if without:
                cluster.sabotage(without, *WORKERS, *TRIGGERERS)
                say(f"Control: all workers and triggerers without {without}")
            cluster.unpause(*DAGS)
            chaos = Chaos(cluster, remote, say, control=without is not None)
            (short if in_short else full)(chaos)
            chaos.await_end(300.0 if without else DEADLINE)
            verdict = judge(cluster, remote, chaos.expected, chaos.runs)
            say("Judged")
            controls = {} if without else control(cluster, remote, say)
    finally:
        remote.stop()
    fine = report(console, verdict, controls, without)
    say("All as it should be." if fine else "Not as it should be.")
    return fine


def main() -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.airflow.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer tasks, and shorter outages")
    parser.add_argument("--without", choices=CONTROLS, help="a control: the same run without this; it must do harm")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    signal.signal(SIGTERM, signal.default_int_handler)  # whoever ends this ends all that it started
    home = Path(tempfile.mkdtemp(prefix="airflow-chaos-"))
    fine = False
    try:
        fine = run(console, home, options.short, options.without)
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
