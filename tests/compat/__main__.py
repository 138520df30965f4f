"""
``make compat``: the scenarios on each version, and the table of what they showed.

Exit code 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.compat.versions import ENVIRONMENTS, FLOOR, NEWEST, RELEASED, ROOT, environment, lock

PAGE = ROOT / "docs" / "compatibility.md"
TABLE = re.compile(r"(?<=<!-- compat table -->\n).*?(?=<!-- end of compat table -->)", re.DOTALL)

Results = dict[str, dict[str, Any]]
"""By the title of a scenario: ``error`` or None, ``remark`` or None, ``seconds``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="default: all")
    parser.add_argument("--ends", action="store_true", help="the oldest and the newest version")
    parser.add_argument("--only", action="append", default=[], help="scenarios whose title contains this")
    parser.add_argument("--write", action="store_true", help="write what the last whole run of each version showed into the documentation")
    parser.add_argument("--lock", action="store_true", help="only resolve the environments anew")
    options = parser.parse_args(arguments)
    versions = [FLOOR, NEWEST] if options.ends else options.versions or list(RELEASED)
    if options.lock:
        for version in versions:
            lock(version)
        return 0
    results: dict[str, Results] = {}
    for version in versions:
        begun = time.monotonic()
        results[version] = run(version, options.only)
        print(f"Airflow {version}: {time.monotonic() - begun:.0f} s", flush=True)
    print(table(results))
    failed = [(version, title, one["error"]) for version, of in results.items() for title, one in of.items() if one["error"]]
    for version, title, error in failed:
        print(f"\nAirflow {version}: {title}\n{error}")
    if options.write:
        whole = {version: kept(version) for version in RELEASED}
        PAGE.write_text(TABLE.sub(lambda _: table(whole), PAGE.read_text()))
    return 1 if failed else 0


def run(version: str, only: Sequence[str]) -> Results:
    """All scenarios on one version."""
    python = environment(version)
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        out = Path(folder) / "results.json"
        command = [str(python), "-W", "ignore", "-m", "tests.compat.scenarios", str(out), *only]
        # Importing parts of Airflow makes a home: not that of whoever runs this.
        subprocess.run(command, cwd=ROOT, env={**os.environ, "AIRFLOW_HOME": f"{folder}/unused"}, check=True)
        if not only:
            shutil.copy(out, results_file(version))
        return dict(json.loads(out.read_text()))


def results_file(version: str) -> Path:
    """Where the results of the last whole run of a version are kept."""
    return ENVIRONMENTS / version / "results.json"


def kept(version: str) -> Results:
    """Those results."""
    if not results_file(version).exists():
        raise SystemExit(f"There was no whole run of Airflow {version} yet.")
    return dict(json.loads(results_file(version).read_text()))


def table(results: Mapping[str, Results]) -> str:
    """Scenario by version, as Markdown."""
    titles = list(dict.fromkeys(title for of in results.values() for title in of))
    lines = [f"| Scenario | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for title in titles:
        cells = [_cell(of.get(title)) for of in results.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "not run"
    if result["error"]:
        return "**failed**"
    return str(result["remark"] or "yes")


if __name__ == "__main__":
    sys.exit(main())
