"""
``make demo``: the example ``release_train`` on a real Airflow, against the emulator, and what could be seen of it from outside.

Exit code 0 if all went as it should, 1 if not.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airflow_provider.emulator import Emulator
from tests.airflow.local_airflow import ENDED, EXAMPLE_DAGS, LocalAirflow, LocalAirflowError

DAG = "release_train"
SYSTEMS = {"build": "Buddy", "scan": "Tracecat", "tell": "AlgaPSA"}
WITH_PAGE = ("build", "scan")
STARTS = {"buddy": r"/executions$", "tracecat": r"/workflow-executions$", "alga_psa": r"/execute$"}
STYLES = {"deferred": "magenta", "success": "green", "failed": "red", "upstream_failed": "yellow", "skipped": "bright_black"}
PHASES = {"SUCCEEDED": "green", "FAILED": "red"}
SHOWN_LINES = 3
TIMEOUT = 600.0

Say = Callable[["Run", str], None]


@dataclass
class Run:
    """One run of the DAG, and what was seen of it."""

    airflow: LocalAirflow
    scan: str
    id: str
    states: dict[str, str | None] = field(default_factory=dict)
    remote_lines: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    lines_while_deferred: Counter[str] = field(default_factory=Counter)
    links: dict[str, str] = field(default_factory=dict)
    free: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)
    state: str = ""

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.state in ("success", "failed")

    def xcom(self, task: str, key: str = "return_value") -> Any:
        """An XCom; an empty text if there is none."""
        return self.airflow.xcom(DAG, self.id, task, key) if key in self.airflow.xcom_keys(DAG, self.id, task) else ""

    def execution(self, task: str) -> dict[str, Any]:
        """What a task tells about its execution at the end; empty if there was none."""
        return dict(self.xcom(task) or self.xcom(task, "execution") or {})

    def observe(self, say: Say) -> None:
        """Look at the run once and say what is new."""
        state = str(self.airflow.run(DAG, self.id)["state"])
        for task, now in self.airflow.states(DAG, self.id).items():
            before, self.states[task] = self.states.get(task), now
            if now != before and now in ENDED and task in self.remote_lines:  # what came after the last look
                self._say_new(task, self._read_lines(task), say)
            if now != before and now in STYLES:
                say(self, f"task [bold]{task}[/] is [{STYLES[now]}]{now}[/]")
                self.history.append(f"{task} {now}")
        for task in SYSTEMS:
            if self.states.get(task) == "deferred":
                self._observe_deferred(task, say)
        self.state = state

    def _observe_deferred(self, task: str, say: Say) -> None:
        pool = self.airflow.pool()
        link = next((link for link in self.airflow.links(DAG, self.id, task).values() if link), None)
        lines = self._read_lines(task)
        if self.airflow.task(DAG, self.id, task)["state"] != "deferred":
            return  # it went on meanwhile: what was read proves nothing
        if task not in self.free and pool["running_slots"] + pool["queued_slots"] == 0:
            self.free.add(task)
            say(self, f"  waits in the triggerer: pool has 0 slots running, {pool['deferred_slots']} deferred")
        if link and task not in self.links:
            self.links[task] = link
            say(self, f"  link already there: {escape(link)}")
        self.lines_while_deferred[task] = len(lines)
        self._say_new(task, lines, say)

    def _read_lines(self, task: str) -> list[tuple[str, str]]:
        entries = self.airflow.log_entries(DAG, self.id, task)
        return [(str(entry["remote_step"]), str(entry["event"])) for entry in entries if "remote_step" in entry]

    def _say_new(self, task: str, lines: list[tuple[str, str]], say: Say) -> None:
        new, self.remote_lines[task] = lines[len(self.remote_lines.get(task, [])) :], lines
        for step, count in Counter(step for step, _ in new).items():
            for line in [line for name, line in new if name == step][:SHOWN_LINES]:
                say(self, f"  [cyan]{escape(step)}[/] │ {escape(line)}")
            if count > SHOWN_LINES:
                say(self, f"  [cyan]{escape(step)}[/] │ [bright_black]… and {count - SHOWN_LINES} lines more[/]")


def executions(run: Run) -> Table:
    """The executions of a run, as its tasks tell of them."""
    table = Table("System", title=escape(run.scan), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Phase", no_wrap=True)
    table.add_column("Duration", justify="right", no_wrap=True)
    table.add_column("Outputs", overflow="fold")
    table.add_column("Link", overflow="fold")
    for task, system in SYSTEMS.items():
        told = run.execution(task)
        if not told:
            table.add_row(system, "[bright_black]not started[/]")
            continue
        phase = f"[{PHASES.get(told['phase'], 'yellow')}]{told['phase']}[/]"
        duration = "" if told["duration"] is None else f"{told['duration']:.1f} s"
        outputs = "\n".join(f"{name}={value}" for name, value in told["outputs"].items())
        page = escape(told["url"]) if told["url"] else "[bright_black]there is no page[/]"
        table.add_row(system, phase, duration, escape(outputs), page)
    return table


def checks(emulator: Emulator, good: Run, bad: Run) -> list[tuple[str, bool, str]]:
    """What has to be so: what, whether it is, and by what one sees it."""
    image, severity = good.xcom("build", "IMAGE"), good.xcom("scan", "severity")
    scanned = [one.inputs for one in emulator.tracecat.executions if one.workflow.alias == good.scan]
    told = [{name: one.trigger_data.get(name) for name in ("image", "severity")} for one in emulator.alga_psa.executions]
    broke = str(bad.xcom("say_what_broke"))
    counts = {name: len(good.remote_lines.get(task, [])) for task, name in SYSTEMS.items()}
    started = {name: emulator.ledger.count("POST", path, system=name) for name, path in STARTS.items()}
    there = {"buddy": len(emulator.buddy.executions), "tracecat": len(emulator.tracecat.executions), "alga_psa": len(told)}
    pages = {task: good.xcom(task, "url") for task in WITH_PAGE}
    return [
        (
            "no worker slot while deferred",
            good.free == set(SYSTEMS),
            " → ".join(state for state in good.history if state.split()[0] in SYSTEMS),
        ),
        (
            "link while deferred",
            good.links == pages and all(pages.values()),
            f"of {' and '.join(good.links) or 'none'}, also XCom url; AlgaPSA has no page",
        ),
        (
            "remote log in the task log while deferred",
            all(good.lines_while_deferred[task] for task in WITH_PAGE) and all(counts.values()),
            ", ".join(f"{name} {count} lines" for name, count in counts.items()),
        ),
        ("output of Buddy is Tracecat's input", bool(image) and scanned == [{"address": image}], f"{scanned}"),
        ("outputs of both are AlgaPSA's input", bool(severity) and told == [{"image": image, "severity": severity}], f"{told}"),
        (
            "failure: say_what_broke said what",
            bad.states.get("say_what_broke") == "success" and broke.startswith("scan: tracecat execution "),
            broke,
        ),
        (
            "failure: tell did not run, the run failed",
            bad.states.get("tell") == "upstream_failed" and not bad.execution("tell") and bad.state == "failed",
            f"tell is {bad.states.get('tell')}, the run {bad.state}; the other run {good.state}",
        ),
        (
            "one start request per execution",
            started == there == {"buddy": 2, "tracecat": 2, "alga_psa": 1},
            f"{', '.join(f'{count} POST to {name}' for name, count in started.items())} in the emulator's ledger for 2 runs",
        ),
    ]


def play(console: Console, emulator: Emulator, airflow: LocalAirflow) -> bool:
    """Run the DAG twice at once, show it, and tell whether all went well."""
    airflow.unpause(DAG)
    good, bad = (Run(airflow, scan, airflow.trigger(DAG, {"scan": scan})) for scan in ("enrich_alert", "enrich_broken"))
    runs = (good, bad)
    began = time.monotonic()
    width = max(len(run.scan) for run in runs)
    console.print(f"Two runs of [bold]{DAG}[/], with scans [blue]{good.scan}[/] and [yellow]{bad.scan}[/]:\n")

    def say(run: Run, text: str) -> None:
        name = f"[{'blue' if run is good else 'yellow'}]{run.scan:{width}}[/]"
        console.print(f"[bright_black]{time.monotonic() - began:5.1f} s[/]  {name}  {text}", soft_wrap=True)

    while not all(run.over for run in runs):
        if time.monotonic() - began > TIMEOUT:
            raise LocalAirflowError(f"The runs did not end within {TIMEOUT:g} s: {[run.states for run in runs]}")
        for run in runs:
            if not run.over:
                run.observe(say)
        time.sleep(0.2)

    console.print()
    for run in runs:
        console.print(executions(run))
    table = Table("", "What", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Seen", overflow="fold")
    results = checks(emulator, good, bad)
    for what, fine, evidence in results:
        table.add_row("[green]✔[/]" if fine else "[red]✘[/]", what, escape(evidence))
    console.print(table)
    return all(fine for _, fine, _ in results)


def main() -> int:
    """Run the demonstration and return the exit code."""
    console = Console(highlight=False)
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="airflow-demo-"))
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(EXAMPLE_DAGS / f"{DAG}.py", dags)  # alone: Airflow is ready sooner with one file to parse
    emulator = Emulator()
    for system in emulator.systems.values():
        system.load_demo()
    fine = False
    try:
        with emulator:
            connections = {conn_id: text for system in emulator.systems.values() for conn_id, text in system.connections.items()}
            local = LocalAirflow(home, dags=dags, connections=connections)
            with console.status(f"Starting Airflow {version('apache-airflow')} …"):
                local.__enter__()
            try:
                console.print(
                    f"Airflow {version('apache-airflow')} and the emulator are up after {time.monotonic() - began:.0f} s.", end=" "
                )
                fine = play(console, emulator, local)
            finally:
                with console.status("Stopping Airflow …"):
                    local.__exit__(*sys.exc_info())
    except LocalAirflowError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
    except KeyboardInterrupt:
        shutil.rmtree(home, ignore_errors=True)
        return 130
    if fine:
        shutil.rmtree(home, ignore_errors=True)
        console.print(f"All as it should be, in {time.monotonic() - began:.0f} s.")
    else:
        console.print(f"[red]Not as it should be.[/] What Airflow printed: {local.output}", soft_wrap=True)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
