"""A whole Airflow, component by component: PostgreSQL, CeleryExecutor over Redis, two workers, two triggerers."""

from __future__ import annotations

import base64
import secrets
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.airflow.chaos.component import Component
from tests.airflow.chaos.services import Postgres, Redis
from tests.airflow.local_airflow import LocalAirflow, LocalAirflowError, until
from tests.ports import free_ports

HERE = Path(__file__).resolve().parent
WORKERS = ("worker1", "worker2")
TRIGGERERS = ("triggerer1", "triggerer2")
AIRFLOW = [sys.executable, "-m", "airflow"]

# Airflow notices a dead worker after 5 minutes, a dead triggerer after half a minute. There is no time for that here.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "100",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "3",
}


class Cluster(LocalAirflow):
    """
    Airflow with its database and broker; entering returns once all are healthy, leaving ends every process.

    :param components: name to process: ``api-server``, ``dag-processor``, ``scheduler``, and those of ``WORKERS`` and ``TRIGGERERS``.
    """

    def __init__(self, home: Path, *, connections: Mapping[str, str]) -> None:
        database, broker = free_ports(2)
        home.mkdir(parents=True, exist_ok=True)
        self.postgres = Postgres(database, home / "postgres.log")
        self.redis = Redis(broker, home / "redis.log")
        self.components: dict[str, Component] = {}
        settings = {
            **IMPATIENT,
            "PYTHONPATH": str(HERE.parents[2]),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker}/0",
            "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "tests.airflow.chaos.celery_config.CELERY_CONFIG",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{self.postgres.address}",
            "AIRFLOW__CELERY__TASK_ACKS_LATE": "True",
            "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            # Longer than any task takes: a message that is delivered again, its token expired meanwhile, fails a task that runs well.
            # What a killed worker had taken and not begun comes back by Airflow's task_queued_timeout.
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "3600",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.airflow.chaos.inside.hostname",
            # Tasks of a worker that was killed go on taking slots of the executor.
            "AIRFLOW__CORE__PARALLELISM": "1000",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{self.postgres.address}",
        }
        super().__init__(home, dags=HERE / "dags", connections=connections, settings=settings)

    def sabotage(self, without: str, *names: str) -> None:
        """Exchange workers or triggerers for ones that lack a part of the provider, as of ``sabotage.py``."""
        for component in (self.components[name] for name in names):
            component.kill()
            component.command = [sys.executable, "-m", "tests.airflow.chaos.sabotage", without, *component.command[len(AIRFLOW) :]]
            component.start()

    def supervise(self) -> list[str]:
        """Start again what has ended by itself, as systemd and Kubernetes do, and return its names: Airflow's scheduler needs that."""
        ended = [component for component in self.components.values() if component.wanted and not component.running]
        for component in ended:
            component.kill()
            component.start()
        return [component.name for component in ended]

    def all_tasks(self, **criteria: Any) -> list[dict[str, Any]]:
        """The task instances of all runs."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get("dags/~/dagRuns/~/taskInstances", limit=100, offset=len(found), order_by="id", **criteria)
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def xcom_of(self, ti: Mapping[str, Any], key: str) -> Any:
        """An XCom of a task instance as the API tells it; None if there is none."""
        answer = self.request("GET", f"{_path(ti)}/xcomEntries/{key}", params={"map_index": ti["map_index"]}, fine=[404])
        return answer.get("value")

    def links_of(self, ti: Mapping[str, Any]) -> dict[str, str | None]:
        """Name to URL of a task instance's links."""
        return dict(self.get(f"{_path(ti)}/links", map_index=ti["map_index"])["extra_links"])

    def await_api(self) -> None:
        """Wait until the REST API answers."""
        self.components["api-server"].await_ready(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.get("version"))
        except Exception:
            return False

    def _start(self) -> None:
        self._prepare()
        environment = self._environment()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda service: service.start(), (self.postgres, self.redis)))
        with (self.home / "migrate.log").open("wb") as output:
            inside = {**environment, "CHAOS_COMPONENT": "migrate"}
            subprocess.run([*AIRFLOW, "db", "migrate"], env=inside, stdout=output, stderr=subprocess.STDOUT, check=True)
        commands = {
            "api-server": ["api-server"],
            "dag-processor": ["dag-processor"],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            **{name: ["triggerer", "--skip-serve-logs"] for name in TRIGGERERS},
            **{name: ["celery", "worker", "-H", f"{name}@%h", "-q", f"default,{name}", "-c", "8", "--skip-serve-logs"] for name in WORKERS},
        }
        for name, command in commands.items():
            inside = {**environment, "CHAOS_COMPONENT": name}
            self.components[name] = Component(name, [*AIRFLOW, *command], environment=inside, output=self.home / f"{name}.log")
            self.components[name].start()
        self._connect()

    def _await_health(self) -> None:
        def healthy() -> bool:
            for component in self.components.values():
                if not component.running:
                    raise LocalAirflowError(f"{component.name} ended: {component.output}")
            return self._healthy()

        until("all components are healthy", healthy)
        self._log_in()

    def _stop(self) -> None:
        everything = [*self.components.values(), self.redis.component]
        with ThreadPoolExecutor(max_workers=len(everything)) as pool:
            list(pool.map(lambda component: component.kill(), everything))
        self.postgres.remove()
        super()._stop()


def _path(ti: Mapping[str, Any]) -> str:
    return f"dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}"
