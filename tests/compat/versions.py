"""The versions of Airflow that are tried, and environments with them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

RELEASED = {
    "3.1.0": date(2025, 9, 25),
    "3.1.8": date(2026, 3, 11),
    "3.2.2": date(2026, 5, 29),
    "3.3.0": date(2026, 7, 6),
    "3.3.2": date(2026, 9, 17),
}
"""Version to the day of its release, the oldest first. Its environment has what there was by then."""
FLOOR, NEWEST = min(RELEASED), max(RELEASED)
AUDIT = ("bc-detect-secrets", "docker-image-py", "regex", "tree-sitter", "tree-sitter-bash", "tree-sitter-powershell", "tree-sitter-toml")
"""What the extra ``audit`` needs has nothing to do with Airflow: as of a later day."""
AUDIT_UNTIL = "2026-11-15"

ROOT = Path(__file__).parents[2]
LOCKS = Path(__file__).parent / "locks"
ENVIRONMENTS = ROOT / ".venv-compat"
UV = Path(sys.executable).parent / "uv"


def lock(version: str) -> None:
    """Resolve the environment of a version as of its release day."""
    until = day_after(RELEASED[version])
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--generate-hashes"]
    command += ["--custom-compile-command", "make compat-lock", "--exclude-newer", until]
    for package in AUDIT:
        command += ["--exclude-newer-package", f"{package}={AUDIT_UNTIL}"]
    command += ["--extra", "emulator", "--extra", "audit", "pyproject.toml", "-", "-o", str(lock_file(version))]
    # PostgreSQL, if there is one; WTForms for the connection form before 3.2; StatsD for the metrics.
    wanted = "\n".join([f"apache-airflow=={version}", "asyncpg", "psycopg2-binary", "psutil", "statsd", "wtforms", ""])
    subprocess.run([str(UV), *command[1:]], cwd=ROOT, input=wanted, text=True, check=True)


def lock_file(version: str) -> Path:
    """The hash-pinned lock file of a version."""
    return LOCKS / f"{version}.lock"


def day_after(day: date) -> str:
    """So that what was uploaded on a day counts."""
    return str(day + timedelta(days=1))


def environment(version: str) -> Path:
    """Make the environment of a version, unless it is there, and return its Python."""
    return install(ENVIRONMENTS / version, lock_file(version))


def install(folder: Path, locked: Path) -> Path:
    """Make an environment with what a lock file says and this package, unless it is there, and return its Python."""
    python, mark = folder / "bin" / "python", folder / "locked"
    wanted = locked.read_text() + (ROOT / "pyproject.toml").read_text()
    if not mark.exists() or mark.read_text() != wanted:
        for arguments in (
            ["venv", "--allow-existing", "--python", sys.executable, str(folder)],
            ["pip", "sync", "--require-hashes", "--python", str(python), str(locked)],
            ["pip", "install", "--no-deps", "--python", str(python), "--editable", str(ROOT)],
        ):
            subprocess.run([str(UV), "--quiet", *arguments], check=True)
        mark.write_text(wanted)
    return python
