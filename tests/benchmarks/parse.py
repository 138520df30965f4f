"""
What a DAG file costs that instantiates five operators and sensors, over one of core operators only; beside the same for peers.

Each file is parsed in fresh processes, in turns, as the DAG processor does it: ``airflow.sdk`` is loaded, then the file is executed.
The fastest counts: whatever else the machine does only makes it slower.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROUNDS = 5

_CORE = """
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
with DAG("bench", schedule=None):
    for n in range(3):
        BaseOperator(task_id=f"op{n}")
    for n in range(2):
        BaseSensorOperator(task_id=f"sensor{n}")
"""

_FILES = {
    "core operators only": _CORE,
    "this provider": """
from airflow.sdk import DAG
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor
with DAG("bench", schedule=None):
    for n in range(3):
        BuddyRunPipelineOperator(task_id=f"op{n}", pipeline=n + 1, deferrable=True)
    for n in range(2):
        BuddyExecutionSensor(task_id=f"sensor{n}", ref="a/b/1/1", deferrable=True)
""",
    "dbt-cloud": """
from airflow.sdk import DAG
from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor
with DAG("bench", schedule=None):
    for n in range(3):
        DbtCloudRunJobOperator(task_id=f"op{n}", job_id=n + 1, deferrable=True)
    for n in range(2):
        DbtCloudJobRunSensor(task_id=f"sensor{n}", run_id=1, deferrable=True)
""",
    "databricks": """
from airflow.sdk import DAG
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator
from airflow.providers.databricks.sensors.databricks import DatabricksSQLStatementsSensor
with DAG("bench", schedule=None):
    for n in range(3):
        DatabricksRunNowOperator(task_id=f"op{n}", job_id=n + 1, deferrable=True)
    for n in range(2):
        DatabricksSQLStatementsSensor(task_id=f"sensor{n}", statement="select 1", warehouse_id="w", deferrable=True)
""",
    "airbyte": """
from airflow.sdk import DAG
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
with DAG("bench", schedule=None):
    for n in range(3):
        AirbyteTriggerSyncOperator(task_id=f"op{n}", connection_id="c", deferrable=True)
    for n in range(2):
        AirbyteJobSensor(task_id=f"sensor{n}", airbyte_job_id=1, deferrable=True)
""",
    "http": """
from airflow.sdk import DAG
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
with DAG("bench", schedule=None):
    for n in range(3):
        HttpOperator(task_id=f"op{n}", endpoint="x", deferrable=True)
    for n in range(2):
        HttpSensor(task_id=f"sensor{n}", endpoint="x", deferrable=True)
""",
}

_RUN = """
import runpy, sys, time, warnings
warnings.simplefilter("ignore")
import airflow.sdk
start = time.perf_counter()
runpy.run_path(sys.argv[1])
print(time.perf_counter() - start)
"""


def main() -> None:
    """Measure and print."""
    console = Console()
    times: dict[str, list[float]] = {name: [] for name in _FILES}
    errors: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(_FILES.values()):
            Path(folder, f"dag{number}.py").write_text(text)
        for turn in range(ROUNDS + 1):
            for number, name in enumerate(_FILES):
                if name in errors:
                    continue
                command = [sys.executable, "-c", _RUN, str(Path(folder, f"dag{number}.py"))]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    errors[name] = done.stderr.strip().splitlines()[-1]
                elif turn:  # the first round only compiles
                    times[name].append(float(done.stdout.split()[-1]))
    base = min(times["core operators only"])
    ours = min(times["this provider"]) - base
    table = Table(
        "DAG file with 5 tasks of", "seconds", "extra, ms", "extra, ratio to ours", title=f"Parsing a DAG file (fastest of {ROUNDS})"
    )
    for name, values in times.items():
        if name in errors:
            table.add_row(name, "-", "-", errors[name])
            continue
        extra = min(values) - base
        table.add_row(name, f"{min(values):.3f}", f"{extra * 1000:.0f}", f"{extra / ours:.1f}" if ours > 0 else "-")
    console.print(table)


if __name__ == "__main__":
    main()
