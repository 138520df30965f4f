"""An OpenTelemetry collector for metrics, on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


class Collector:
    """What has arrived."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.settings: dict[str, str] = {}
        """Environment variables with which Airflow sends here, twice a second."""

    def series(self) -> dict[str, set[str]]:
        """Name of each metric of this package to its series: tags and their values, as ``name=value,...``."""
        found: dict[str, set[str]] = {}
        for body in list(self.bodies):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    if metric.name.startswith("airflow.executions."):
                        points = getattr(metric, metric.WhichOneof("data")).data_points
                        tags = {",".join(sorted(f"{tag.key}={tag.value.string_value}" for tag in point.attributes)) for point in points}
                        found.setdefault(metric.name.removeprefix("airflow.executions."), set()).update(tags)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        options = {"ON": "True", "HOST": "127.0.0.1", "PORT": str(server.server_port), "INTERVAL_MILLISECONDS": "500"}
        collector.settings = {f"AIRFLOW__METRICS__OTEL_{name}": value for name, value in options.items()}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
