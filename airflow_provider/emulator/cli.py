"""``python -m airflow_provider.emulator``: serve the systems until a signal arrives."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from airflow_provider.emulator.emulator import Emulator
from airflow_provider.emulator.scenario_file import load_scenario
from airflow_provider.emulator.system import ScenarioError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, print the connections to use, and return the exit code after SIGINT or SIGTERM.

    0: stopped by a signal; 2: the scenario is invalid or the port is in use.
    """
    parser = argparse.ArgumentParser(prog="python -m airflow_provider.emulator", description="Serve the emulated systems on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="TCP port; default: a free one")
    parser.add_argument("--root", choices=("buddy", "tracecat", "alga_psa"), help="serve this system at the root instead of below its path")
    parser.add_argument("--scenario", type=Path, metavar="FILE.yaml", help="default: a built-in demonstration")
    options = parser.parse_args(arguments)
    emulator = Emulator(port=options.port, root=options.root)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        if options.scenario is None:
            for system in emulator.systems.values():
                system.load_demo()
        else:
            load_scenario(emulator.systems, options.scenario)
        emulator.start()
    except (ScenarioError, OSError, OverflowError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        print(f"Emulator: {emulator.url}")
        for system in emulator.systems.values():
            for conn_id, connection in system.connections.items():
                print(f"export AIRFLOW_CONN_{conn_id.upper()}={shlex.quote(connection)}")
        print("Stop it with Ctrl-C.", flush=True)
        ended.wait()
    finally:
        emulator.stop()
    return 0
