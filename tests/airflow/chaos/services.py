"""PostgreSQL and Redis of the run's own, from Debian's packages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests import debian
from tests.airflow.chaos.component import Component
from tests.airflow.local_airflow import LocalAirflowError

PACKAGES = {"redis-server": "redis-server", "postgres": "postgresql"}
"""Program to Debian package."""
USER = "postgres"
"""PostgreSQL refuses to run as root; the package brings this user."""


def install() -> list[str]:
    """
    Install what is missing, and return the names of those packages.

    :raises LocalAirflowError: if that is not possible.
    """
    try:
        return debian.install(PACKAGES)
    except debian.CannotInstall as error:
        raise LocalAirflowError(str(error)) from None


def _require(name: str) -> Path:
    if (path := debian.program(name)) is None:
        raise LocalAirflowError(f"{name} is not installed.")
    return path


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


class Postgres:
    """A PostgreSQL server with an empty database ``airflow``; nothing of it outlives it."""

    def __init__(self, port: int, output: Path) -> None:
        self.port = port
        user = USER if os.geteuid() == 0 else None
        self._as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
        # Not below the run's own home, which other users may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-postgres-"))
        if user:
            shutil.chown(self._folder, user, user)
        options = [f"-cport={port}", f"-cunix_socket_directories={self._folder}", "-clisten_addresses=127.0.0.1"]
        self.component = Component(
            "PostgreSQL",
            [_require("postgres"), "-D", self._folder / "data", *options, "-cmax_connections=200", "-cfsync=off"],
            environment={"LC_ALL": "C.UTF-8"},
            output=output,
            user=user,
            stop_with=signal.SIGINT,  # its fast shutdown: ends all connections
        )

    @property
    def address(self) -> str:
        """User, host and database, as in a URL."""
        return f"postgres@127.0.0.1:{self.port}/airflow"

    def start(self) -> None:
        """Make the database and start."""
        data = self._folder / "data"
        self._run(_require("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.resume()
        self._execute("create database airflow", "postgres")

    def resume(self) -> None:
        """Start with what is there."""
        self.component.start()
        ask = [_require("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self.component.await_ready(lambda: subprocess.run(ask, check=False).returncode == 0)

    def stop(self) -> None:
        """Stop, closing all connections."""
        self.component.stop()

    def let_age(self, run: str) -> None:
        """Let a DAG run be two days old, which is more than any ``dagrun_timeout`` here."""
        self._execute(f"update dag_run set start_date = start_date - interval '2 days' where run_id = '{run}'", "airflow")

    def remove(self) -> None:
        """Stop and delete everything."""
        self.component.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _execute(self, statement: str, database: str) -> None:
        host = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database)
        self._run(_require("psql"), *host, "-v", "ON_ERROR_STOP=1", "-c", statement)

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False, **self._as_user)  # type: ignore[call-overload]
        if done.returncode:
            raise LocalAirflowError(f"{Path(command[0]).name}: {done.stderr.strip()[-500:]}")


class Redis:
    """A Redis server that keeps nothing on disk."""

    def __init__(self, port: int, output: Path) -> None:
        self.port = port
        command = [_require("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.component = Component("Redis", command, environment={"LC_ALL": "C.UTF-8"}, output=output)

    def start(self) -> None:
        """Start."""
        self.component.start()
        self.component.await_ready(lambda: _accepts(self.port))
