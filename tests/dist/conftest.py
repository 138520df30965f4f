"""Wheel and sdist of this checkout, and an environment that knows nothing of it but the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
_FOREIGN = re.compile(r"_?AIRFLOW_|PYTHON(?!UTF8|HASHSEED)|VIRTUAL_ENV|(?:https?|all|no)_proxy$", re.IGNORECASE)


def uv(*arguments: str | Path) -> None:
    """Run uv; it is in the project's environment."""
    assert UV is not None
    subprocess.run([UV, *arguments], check=True, cwd=ROOT)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the sdist: the one that the variable ``BUILT`` names; else they are built."""
    if given := os.environ.get("BUILT"):
        return ROOT / given
    folder = tmp_path_factory.mktemp("built")
    uv("build", "--quiet", "--out-dir", folder)
    return folder


@dataclass(frozen=True)
class Installed:
    """
    An environment with the wheel.

    :param folder: of the environment. :param home: working directory, and Airflow's home.
    """

    folder: Path
    home: Path

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Environment variables without anything of the caller's Airflow or Python."""
        clean = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
        path = f"{self.folder / 'bin'}{os.pathsep}{clean.get('PATH', '')}"
        return {**clean, "PATH": path, "AIRFLOW_HOME": str(self.home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **more}

    def run(self, *command: str, code: int = 0, **more: str) -> str:
        """Run a command of the environment; its output, of both streams."""
        executable = str(self.folder / "bin" / command[0])
        ended = subprocess.run(
            [executable, *command[1:]], cwd=self.home, env=self.environment(more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=300,
        )  # fmt: skip
        assert ended.returncode == code, ended.stdout
        return ended.stdout


@pytest.fixture(scope="session")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with the extras for audits and the emulator, and everything else at the versions of the lock file."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "env"
    (folder / "home").mkdir()
    locked = re.findall(r"^[a-z0-9._-]+==[^ \\]+(?: ;.*?)?(?= \\)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    assert len(locked) > 100
    (folder / "constraints.txt").write_text("\n".join(locked))
    [wheel] = built.glob("*.whl")
    uv("venv", "--quiet", "--python", sys.executable, environment)
    uv("pip", "install", "--quiet", "--python", environment / "bin" / "python", "--constraints", folder / "constraints.txt", f"{wheel}[audit,emulator]")
    return Installed(environment, folder / "home")
