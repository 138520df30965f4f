"""
``make demo``: the example DAG on a real Airflow, against the emulator, and what could be seen of it from outside.

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

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airflow_provider.emulator import Emulator
from tests.airflow.local_airflow import LocalAirflow, LocalAirflowError

DAG = "buddy_release"
STYLES = {"deferred": "magenta", "success": "green", "failed": "red", "upstream_failed": "yellow", "skipped": "bright_black"}
SHOWN_LINES = 3
TIMEOUT = 120.0


@dataclass
class Run:
    """One run of the DAG, and what was seen of it."""

    airflow: LocalAirflow
    pipeline: str
    id: str
    states: dict[str, str | None] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    remote_lines: list[tuple[str, str]] = field(default_factory=list)
    link: str | None = None
    free: bool = False
    over: bool = False

    def xcom(self, task: str, key: str = "return_value") -> str:
        """An XCom as text; empty if there is none."""
        return str(self.airflow.xcom(DAG, self.id, task, key)) if key in self.airflow.xcom_keys(DAG, self.id, task) else ""

    def observe(self, say: Callable[[Run, str], None]) -> None:
        """Look at the run once and say what is new."""
        state = self.airflow.run(DAG, self.id)["state"]
        for task, now in self.airflow.states(DAG, self.id).items():
            if now != self.states.get(task) and now in STYLES:
                say(self, f"task [bold]{task}[/] is [{STYLES[now]}]{now}[/]")
                self.history.append(f"{task} {now}")
            self.states[task] = now
        if self.states.get("release") == "deferred":
            self._observe_deferred(say)
        self.over = state in ("success", "failed")

    def _observe_deferred(self, say: Callable[[Run, str], None]) -> None:
        pool = self.airflow.pool()
        link = self.airflow.links(DAG, self.id, "release").get("Buddy execution")
        entries = self.airflow.log_entries(DAG, self.id, "release")
        if self.airflow.task(DAG, self.id, "release")["state"] != "deferred":
            return  # it went on meanwhile: what was read proves nothing
        if not self.free and pool["running_slots"] + pool["queued_slots"] == 0:
            self.free = True
            say(self, f"  waits in the triggerer: pool has 0 slots running, {pool['deferred_slots']} deferred")
        if link and not self.link:
            self.link = link
            say(self, f"  link already there: {escape(link)}")
        lines = [(str(entry["remote_step"]), str(entry["event"])) for entry in entries if "remote_step" in entry]
        new = lines[len(self.remote_lines) :]
        self.remote_lines = lines
        for step, count in Counter(step for step, _ in new).items():
            for line in [line for name, line in new if name == step][:SHOWN_LINES]:
                say(self, f"  [cyan]{escape(step)}[/] │ {escape(line)}")
            if count > SHOWN_LINES:
                say(self, f"  [cyan]{escape(step)}[/] │ [bright_black]… and {count - SHOWN_LINES} lines more[/]")


def checks(emulator: Emulator, good: Run, bad: Run) -> list[tuple[str, bool, str]]:
    """What has to be so: what, whether it is, and by what one sees it."""
    image, announced, broke = good.xcom("release", "IMAGE"), good.xcom("announce"), bad.xcom("say_what_broke")
    started = emulator.ledger.count("POST", r"/executions$")
    by_pipeline = Counter(execution.pipeline.name for execution in emulator.buddy.executions)
    runs = (good, bad)
    return [
        ("no worker slot while deferred", good.free, " → ".join(state for state in good.history if state.startswith("release"))),
        ("link while deferred", bool(good.link) and good.link == good.xcom("release", "url"), "also XCom url"),
        ("remote log in the task log while deferred", bool(good.remote_lines), f"{len(good.remote_lines)} lines"),
        ("output pushed as XCom IMAGE", image == "shop:1.2.3", image),
        ("announce used it", bool(image) and image in announced, announced),
        ("failure: say_what_broke said why", bad.states.get("say_what_broke") == "success" and " in Build: " in broke, broke),
        ("failure: announce did not run", bad.states.get("announce") in ("upstream_failed", "skipped"), str(bad.states.get("announce"))),
        (
            "one start request per run",
            started == len(runs) and all(by_pipeline[run.pipeline] == 1 for run in runs),
            f"{started} POST in the emulator's ledger for {len(runs)} runs",
        ),
    ]


def play(console: Console, emulator: Emulator, airflow: LocalAirflow) -> bool:
    """Run the DAG twice at once, show it, and tell whether all went well."""
    airflow.unpause(DAG)
    runs = [Run(airflow, pipeline, airflow.trigger(DAG, {"pipeline": pipeline})) for pipeline in ("release", "release-broken")]
    good, bad = runs
    began = time.monotonic()
    width = max(len(run.pipeline) for run in runs)
    console.print(f"Two runs of [bold]{DAG}[/], with pipelines [blue]{good.pipeline}[/] and [yellow]{bad.pipeline}[/]:\n")

    def say(run: Run, text: str) -> None:
        name = f"[{'blue' if run is good else 'yellow'}]{run.pipeline:{width}}[/]"
        console.print(f"[bright_black]{time.monotonic() - began:5.1f} s[/]  {name}  {text}", soft_wrap=True)

    while not all(run.over for run in runs):
        if time.monotonic() - began > TIMEOUT:
            raise LocalAirflowError(f"The runs did not end within {TIMEOUT:g} s: {[run.states for run in runs]}")
        for run in runs:
            if not run.over:
                run.observe(say)
        time.sleep(0.2)

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
    emulator = Emulator()
    emulator.buddy.load_demo()
    fine = False
    try:
        with emulator:
            local = LocalAirflow(home, connections={"buddy_default": emulator.buddy.connection_json()})
            with console.status(f"Starting Airflow {version('apache-airflow')} …"):
                local.__enter__()
            try:
                console.print(
                    f"Airflow {version('apache-airflow')} and the Buddy emulator are up after {time.monotonic() - began:.0f} s.", end=" "
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
