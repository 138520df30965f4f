"""One process of the chaos run, with its children: started, signalled, killed and started again on its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.airflow.local_airflow import PATIENCE, LocalAirflowError, alive, family, until


class Component:
    """
    A process in a session of its own, so that all its children can be found, orphans too.

    :param command: what to run. :param output: file that gets what it prints; later starts append.
    :param user: run it as this user; default: as ourselves.
    :param stop_with: the signal that ends it, sent to its first process only.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        output: Path,
        user: str | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.environment = dict(environment)
        self.output = output
        self._user = user
        self._stop_with = stop_with
        self._process: subprocess.Popen[bytes] | None = None
        self._known: set[psutil.Process] = set()
        self.started_at = 0.0
        self.wanted = False

    def start(self) -> None:
        """Start it; returns at once."""
        self.started_at, self.wanted = time.time(), True
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.output.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
            )

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    def has(self, pid: int | None) -> bool:
        """Whether one of its processes, since its last start, has this pid."""
        return self.running and self._process is not None and pid in {process.pid for process in family(self._process.pid)}

    def await_ready(self, probe: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """
        Wait until ``probe`` is true.

        :raises LocalAirflowError: if it ends instead; says what it printed last.
        """

        def ready() -> bool:
            if not self.running:
                last = "\n".join(self.output.read_text(errors="replace").splitlines()[-30:])
                raise LocalAirflowError(f"{self.name} ended.\n{last}")
            return probe()

        until(f"{self.name} is ready", ready, timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes, as systemd and container runtimes do."""
        for process in self._family():
            with suppress(psutil.Error):
                process.send_signal(number)

    def kill(self) -> None:
        """End it for good: every process gets SIGKILL, those too that were started meanwhile."""
        self.wanted = False
        while left := [process for process in self._family() if alive(process)]:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            if self._process is not None:
                self._process.poll()
            time.sleep(0.05)
        if self._process is not None:
            self._process.wait()

    def behead(self) -> None:
        """SIGKILL to its first process alone; the others become orphans."""
        self._family()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, grace: float) -> None:
        """SIGTERM to all its processes; what still lives after ``grace`` seconds is killed."""
        self.wanted = False
        self.signal(signal.SIGTERM)
        self._await_end(grace)
        self.kill()

    def stop(self, grace: float = 15.0) -> None:
        """End it as an administrator does."""
        if self.running and self._process is not None:
            self._family()
            os.kill(self._process.pid, self._stop_with)
            self._await_end(grace)
        self.kill()

    def _family(self) -> set[psutil.Process]:
        """Its processes. Remembered: what has lost its parent and left the session could not be found afterwards."""
        if self._process is not None:
            self._known |= family(self._process.pid)
        self._known = {process for process in self._known if alive(process)}
        return self._known

    def _await_end(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if not self.running and not self._family():
                return
            time.sleep(0.1)
