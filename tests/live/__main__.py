"""Run the live tests against the emulator in a process of its own: ``python -m tests.live [arguments of pytest]``."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Run them, and return the exit code of pytest."""
    command = [sys.executable, "-m", "tests.live.emulated"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        variables = json.loads(server.stdout.readline())
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or ["tests/live"])]
        code = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
        server.stdin.close()
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
