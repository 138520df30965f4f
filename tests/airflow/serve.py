"""``make airflow``: a full local Airflow with the emulator behind its connections, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from airflow_provider.emulator import Emulator
from tests.airflow.local_airflow import EXAMPLE_DAGS, LOGIN, LocalAirflow, LocalAirflowError

HOME = Path(__file__).resolve().parents[2] / ".airflow"


def main() -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code: 0, or 1 if Airflow did not start."""
    parser = argparse.ArgumentParser(prog="python -m tests.airflow.serve", description="Airflow and the emulator, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="Airflow's TCP port; default: a free one")
    parser.add_argument("--emulator-port", type=int, default=0, metavar="N", help="the emulator's; default: a free one")
    options = parser.parse_args()
    # SIGINT too: a shell that starts this in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    emulator = Emulator(port=options.emulator_port)
    for system in emulator.systems.values():
        system.load_demo()
    try:
        with emulator:
            connections = {conn_id: text for system in emulator.systems.values() for conn_id, text in system.connections.items()}
            airflow = LocalAirflow(HOME, port=options.port, connections=connections)
            print("Starting Airflow ...", flush=True)
            with airflow:
                dags = sorted(path.stem for path in EXAMPLE_DAGS.glob("*.py"))
                airflow.unpause(*dags)
                print(f"Airflow   {airflow.url}   login {LOGIN}, password {airflow.password}")
                print(f"Pages     {airflow.url}/plugin/executions")
                print(f"Emulator  {emulator.url}   connections {', '.join(connections)}")
                print(f"DAGs      {', '.join(dags)}")
                print("Pipelines", ", ".join(pipeline.name for pipeline in emulator.buddy.pipelines))
                print("Workflows", ", ".join(workflow.alias or workflow.title for workflow in emulator.tracecat.workflows))
                print("Rules    ", ", ".join(rule.name for rule in emulator.alga_psa.rules))
                print(f"Output    {airflow.output}")
                print("Stop it with Ctrl-C.", flush=True)
                try:
                    threading.Event().wait()
                finally:
                    print("\nStopping Airflow ...", flush=True)
    except KeyboardInterrupt:
        return 0
    except (LocalAirflowError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
