"""A StatsD server on loopback."""

from __future__ import annotations

import socket
import threading


class Received:
    """The lines of this package that have arrived at a StatsD server."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self.socket:
            while line := self.socket.recv(65_536).decode():
                if line.startswith("airflow.executions."):
                    self.lines.append(line)

    def close(self) -> None:
        """An empty datagram ends it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname())
        self._thread.join()

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables with which Airflow sends here, with tags."""
        host, port = self.socket.getsockname()
        options = {"ON": "True", "HOST": host, "PORT": str(port), "INFLUXDB_ENABLED": "True"}
        return {f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in options.items()}

    def has(self, metric: str, *tags: str) -> bool:
        """Whether a metric has arrived, with these tags among others."""
        return any(line.startswith(f"airflow.executions.{metric},") and all(f",{tag}" in line for tag in tags) for line in self.lines)

    def sum(self, metric: str) -> float:
        return sum(float(line.split(":")[1].split("|")[0]) for line in self.lines if line.startswith(f"airflow.executions.{metric}"))
