"""
The chaos run on another version of Airflow: ``python -m tests.compat.chaos 3.1.8 [--short]``.

The environment is that of ``make compat``, with the Celery of this one: with the provider of the release days of 3.1.8 and
3.2.2, workers may take tasks and never run them (https://github.com/apache/airflow/issues/59707).
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from tests.compat.versions import RELEASED, ROOT, UV, environment

NEEDED = ("apache-airflow-providers-celery", "celery", "kombu", "rich")


def main() -> int:
    """Run it, and return its exit code."""
    airflow, *options = sys.argv[1:] or [""]
    if airflow not in RELEASED:
        print(f"Name one of {', '.join(RELEASED)}.")
        return 2
    python = environment(airflow)
    wanted = [f"apache-airflow=={airflow}", *(f"{name}=={version(name)}" for name in NEEDED)]
    subprocess.run([str(UV), "--quiet", "pip", "install", "--python", str(python), *wanted], check=True)
    return subprocess.run([str(python), "-m", "tests.airflow.chaos", *options], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
