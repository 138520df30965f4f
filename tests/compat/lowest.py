"""
``make lowest``: the tests of what needs little of Airflow, on the oldest Airflow, with the lowest versions of everything that is declared.

What the harness plays is the inside of today's Airflow, so tests that run tasks with it are left out: older versions have the scenarios.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from tempfile import TemporaryDirectory

from tests.compat.versions import AUDIT, AUDIT_UNTIL, ENVIRONMENTS, FLOOR, LOCKS, RELEASED, ROOT, UV, day_after, install

LOCK = LOCKS / "lowest.lock"
NEWER = (*AUDIT, "aiohttp", "hyperscan")
"""Requirements whose lowest version is younger than the oldest Airflow."""
TOOLS = ("hypothesis", "jsonschema", "psutil", "pytest", "pytest-timeout", "pytest-xdist", "statsd", "tomli")
"""What the tests need besides, as in the lock file of the newest Airflow."""
TESTS = ("tests/unit", "tests/contract")
LEFT_OUT = {
    "tests/unit/alga_psa": "its tasks run in the harness",
    "tests/unit/tracecat": "its tasks run in the harness",
    "tests/unit/audit/definitions/test_inputs.py::test_an_export_needs_something_to_export": "as for Buddy's hook",
    "tests/unit/audit/reports/test_command_line.py::test_a_connection_that_is_refused_or_not_there_is_told": "as for Buddy's hook",
    "tests/unit/buddy/test_hook.py": "connections are read outside a task, asynchronously",
    "tests/unit/buddy/test_operators.py": "its tasks run in the harness",
    "tests/unit/execution/attempt/test_note.py": "a clear is told by what newer versions count",
    "tests/unit/execution/attempt/test_variables.py": "its tasks run in the harness",
    "tests/unit/execution/http/test_environment.py": "connections are read outside a task, asynchronously",
    "tests/unit/execution/http/test_renewed_credentials.py": "connections are read outside a task, asynchronously",
    "tests/unit/execution/in_triggerer/test_serialization.py": "serialisation of newer versions",
    "tests/unit/execution/waiting/test_trigger.py": "its tasks run in the harness",
    "tests/unit/test_compat.py": "what newer versions have is taken away there",
    "tests/unit/test_connection_settings.py": "connections are read outside a task, asynchronously",
    "tests/unit/test_errors.py": "classes that newer versions have",
    "tests/unit/test_harness.py": "the harness",
    "tests/unit/test_imports.py": "counts what the newest version imports",
    "tests/unit/test_pages.py": "names that newer versions have",
    "tests/unit/test_patterns.py": "imports modules that need newer versions",
    "tests/unit/test_provider_info.py": "names that newer versions have",
    "tests/unit/test_reference.py": "arguments that newer versions have",
}
"""Module, folder or test to why it can't run there."""


def lock() -> None:
    """Resolve the environment anew."""
    locked = (ROOT / "requirements-dev.lock").read_text()
    tools = [line for tool in TOOLS for line in re.findall(rf"^{tool}==[^ ]+(?: ;.*?)?(?= \\)", locked, re.MULTILINE)]
    command = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--generate-hashes"]
    command += ["--resolution", "lowest-direct", "--custom-compile-command", "make lowest OPTIONS=--lock"]
    command += ["--exclude-newer", day_after(RELEASED[FLOOR])]
    for package in (*NEWER, *TOOLS):
        command += ["--exclude-newer-package", f"{package}={AUDIT_UNTIL}"]
    for extra in ("aiohttp", "audit", "emulator", "logs"):
        command += ["--extra", extra]
    subprocess.run([UV, *command, "pyproject.toml", "-", "-o", LOCK], cwd=ROOT, input="\n".join(tools), text=True, check=True)


def main(arguments: Sequence[str]) -> int:
    """Run the tests, or only resolve the environment anew."""
    if "--lock" in arguments:
        lock()
        return 0
    python = install(ENVIRONMENTS / "lowest", LOCK)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--dist", "worksteal", "-m", "not long", *TESTS]
    # Older libraries warn of what newer ones have changed since.
    command += ["-W", "ignore::PendingDeprecationWarning", *(f"--{'deselect' if '::' in path else 'ignore'}={path}" for path in LEFT_OUT)]
    command += arguments
    with TemporaryDirectory(prefix="lowest-") as home:
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "AIRFLOW_HOME": home}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
