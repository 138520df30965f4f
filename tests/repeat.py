"""
Run ``make test`` again and again beside busy loops, one for each core, and note how each run went: none may fail by chance.

Results stand in ``.repeat/<commit>.jsonl``; a run that was broken off is not among them, and the next call goes on behind the last one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep so many cores busy, at the usual priority."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs in all on this commit (default: 10)")
    parser.add_argument("--target", default="test", help="make target (default: test)")
    parser.add_argument("--loops", type=int, default=os.cpu_count() or 1, help="busy loops beside it (default: one for each core)")
    given = parser.parse_args()
    if git("status", "--porcelain"):
        print("Commit first: the results are noted for a commit.")
        return 2
    notes = ROOT / ".repeat" / f"{git('rev-parse', '--short', 'HEAD')}.jsonl"
    notes.parent.mkdir(exist_ok=True)
    runs = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    runs = [run for run in runs if run["target"] == given.target]
    while len(runs) < given.runs:
        log = notes.with_name(f"{notes.stem}-{given.target}-{len(runs) + 1}.log")
        began = time.monotonic()
        with busy(given.loops), log.open("wb") as file:
            code = subprocess.run(["make", given.target], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        text = log.read_text(errors="replace")
        count = {word: sum(map(int, re.findall(rf"\b(\d+) {word}", text))) for word in ("passed", "failed", "error", "rerun")}
        runs.append({"target": given.target, "green": code == 0, "seconds": round(time.monotonic() - began), "loops": given.loops, **count})
        with notes.open("a") as file:
            file.write(json.dumps(runs[-1]) + "\n")
        print(f"{len(runs)} of {given.runs}: {json.dumps(runs[-1])}", flush=True)
    failed = [run for run in runs if not run["green"]]
    print(f"{len(runs)} runs of make {given.target}, {len(failed)} of them failed, in {[run['seconds'] for run in runs]} s.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
