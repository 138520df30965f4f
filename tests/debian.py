"""Programs that some tests need, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


class CannotInstall(Exception):
    """A program is missing, and can't be installed here."""


def program(name: str) -> Path | None:
    """Where a program is: Debian keeps those of PostgreSQL off the search path."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    return Path(found) if found else None


def install(packages: Mapping[str, str]) -> list[str]:
    """
    Install what is missing.

    :param packages: program to Debian package.
    :returns: the names of the packages that were installed.
    :raises CannotInstall: if that is not possible.
    """
    missing = [package for name, package in packages.items() if program(name) is None]
    if not missing:
        return []
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotInstall(f"This needs {' and '.join(missing)}. Install them.")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotInstall(f"apt-get {command[0]}: {done.stderr.strip()[-500:]}")
    return missing
