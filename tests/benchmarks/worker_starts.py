"""
How many processes workers start for a deferrable sensor that waits for something and succeeds: in a whole Airflow, by its own records.

Ours with ``start_from_trigger=True`` beside the http provider's ``HttpSensor(deferrable=True)``, which runs until it defers, and again
to end.
"""

from __future__ import annotations

import json
import math
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.airflow.local_airflow import LocalAirflow, until

SENSORS = 5
OURS, PEER = "this provider", "http"
DAGS = {
    OURS: f"""
from airflow.sdk import DAG
from airflow_provider.buddy.sensors import BuddyExecutionSensor
with DAG("ours", schedule=None):
    for number in range({SENSORS}):
        BuddyExecutionSensor(task_id=f"wait_{{number}}", ref=f"demo/shop/1/{{number + 1}}", deferrable=True, start_from_trigger=True,
                             poke_interval=2)
""",
    PEER: f"""
from airflow.sdk import DAG
from airflow.providers.http.sensors.http import HttpSensor
with DAG("peer", schedule=None):
    for number in range({SENSORS}):
        HttpSensor(task_id=f"wait_{{number}}", endpoint="done", http_conn_id="http", deferrable=True, poke_interval=2)
""",
}
IDS = {OURS: "ours", PEER: "peer"}


@contextmanager
def serving(done: threading.Event) -> Iterator[str]:
    """A server that answers 404 until it is done."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if done.is_set() else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def deferred(airflow: LocalAirflow, dag: str, run: str) -> bool:
    """Whether all sensors wait in the triggerer."""
    states = airflow.states(dag, run)
    return len(states) == SENSORS and set(states.values()) == {"deferred"}


def starts(airflow: LocalAirflow, dag: str) -> int:
    """Airflow notes each process that begins with a task."""
    return int(airflow.get("eventLogs", dag_id=dag, event="running", limit=1)["total_entries"])


def main() -> None:
    """Measure and print."""
    done = threading.Event()
    with Emulator() as emulator, serving(done) as url, tempfile.TemporaryDirectory() as folder:
        pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=math.inf)]))
        executions = [emulator.buddy.add_execution(pipeline) for _ in range(SENSORS)]
        for name, text in DAGS.items():
            Path(folder, f"{IDS[name]}.py").write_text(text)
        connections = {
            "buddy_default": emulator.buddy.connection_json(),
            "http": json.dumps({"conn_type": "http", "host": url}),
        }
        with LocalAirflow(dags=Path(folder), connections=connections) as airflow:
            airflow.unpause(*IDS.values())
            runs = {dag: airflow.trigger(dag) for dag in IDS.values()}
            for dag, run in runs.items():
                until(f"the sensors of {dag} wait", partial(deferred, airflow, dag, run), timeout=120, every=1.0)
            done.set()
            for execution in executions:
                emulator.buddy.finish(execution)
            for dag, run in runs.items():
                airflow.wait_for_run(dag, run, timeout=120)
            counted = {name: starts(airflow, dag) for name, dag in IDS.items()}
    table = Table("deferrable sensor of", "processes per sensor", title=f"Worker processes that {SENSORS} sensors take, until they succeed")
    for name, count in counted.items():
        table.add_row(name, f"{count / SENSORS:g}")
    Console().print(table)


if __name__ == "__main__":
    main()
