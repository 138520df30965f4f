"""
An emulator as a process of its own, which the live tests know by HTTP only: ``python -m tests.live.emulated``.

It takes as long as a server does that was measured: an execution is there, listed and stopped some time after it was asked for. Prints the
variables for the live tests as JSON, and serves until its input ends.
"""

from __future__ import annotations

import json
import sys

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.emulator.tracecat.access import USER_SCOPES


def main() -> None:
    """Serve until the parent process closes the pipe."""
    emulator = Emulator()
    tracecat, buddy = emulator.tracecat, emulator.buddy
    tracecat.start_lag, tracecat.list_lag, tracecat.cancel_seconds = 0.4, 0.4, 0.5
    tracecat.key.scopes = USER_SCOPES
    pipeline = buddy.add_pipeline(Pipeline("live", actions=[Action("Build", seconds=2.0, log=["compiling"], outputs={"IMAGE": "shop:1"})]))
    with emulator:
        variables = {
            "TRACECAT_LIVE_URL": tracecat.url,
            "TRACECAT_LIVE_WORKSPACE": tracecat.workspace,
            "TRACECAT_LIVE_LOGIN": tracecat.user.email,
            "TRACECAT_LIVE_PASSWORD": tracecat.user.password,
            "BUDDY_LIVE_URL": buddy.url,
            "BUDDY_LIVE_TOKEN": buddy.token,
            "BUDDY_LIVE_WORKSPACE": "demo",
            "BUDDY_LIVE_PROJECT": "shop",
            "BUDDY_LIVE_PIPELINE": str(pipeline.id),
        }
        print(json.dumps(variables), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
