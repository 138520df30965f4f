"""
The chaos run on another version of Airflow: ``python -m tests.compat.chaos 3.1.8 [--short]``.

The environment is that of ``make compat``, with a Celery provider of a later day: the workers of those of the release days of 3.1.8 and
3.2.2 may take tasks and never run them (https://github.com/apache/airflow/issues/59707).
"""

from __future__ import annotations

import subprocess
import sys

from tests.compat.versions import RELEASED, ROOT, UV, environment

NEEDED = ("apache-airflow-providers-celery==3.26.0", "rich")


def main() -> int:
    """Run it, and return its exit code."""
    version, *options = sys.argv[1:] or [""]
    if version not in RELEASED:
        print(f"Name one of {', '.join(RELEASED)}.")
        return 2
    python = environment(version)
    subprocess.run([str(UV), "--quiet", "pip", "install", "--python", str(python), f"apache-airflow=={version}", *NEEDED], check=True)
    return subprocess.run([str(python), "-m", "tests.airflow.chaos", *options], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
