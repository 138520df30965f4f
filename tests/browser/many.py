"""
``python -m tests.browser.many``: the page "Executions" with 10,000 runs of a DAG on PostgreSQL. Prints requests and times; asserts nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psycopg2
from playwright.sync_api import expect

from tests import debian
from tests.airflow.chaos import services
from tests.browser.stage import Stage
from tests.ports import free_ports

RUNS = 10_000
COPIES = {
    # table: what is another in each copy; the number of the copy is g
    "dag_run": {"run_id": "'many__' || g", "logical_date": "NULL", "id": "nextval('dag_run_id_seq')"},
    "task_instance": {"run_id": "'many__' || g", "id": "gen_random_uuid()", "start_date": "t.start_date - g * interval '4 seconds'"},
    "xcom": {"run_id": "'many__' || g", "dag_run_id": "(select id from dag_run r where r.dag_id = t.dag_id and r.run_id = 'many__' || g)"},
}


def multiply(address: str, run: str) -> None:
    """Copy a run with its tasks and their XComs."""
    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
        for table, others in COPIES.items():
            cursor.execute("select column_name from information_schema.columns where table_name = %s and table_schema = 'public'", [table])
            columns = [name for (name,) in cursor.fetchall()]
            values = ", ".join(others.get(name, f't."{name}"') for name in columns)
            names = ", ".join(f'"{name}"' for name in columns)
            cursor.execute(
                f"insert into {table} ({names}) select {values} from {table} t, generate_series(1, %s) g where t.run_id = %s", [RUNS, run]
            )
            print(f"{cursor.rowcount:8} rows of {table} more", flush=True)
        connection.commit()
        connection.autocommit = True
        cursor.execute("analyze")


def main() -> int:
    """Measure."""
    debian.install({"chromium": "chromium"})
    services.install()
    with tempfile.TemporaryDirectory(prefix="airflow-") as folder:
        (port,) = free_ports(1)
        postgres = services.Postgres(port, Path(folder) / "postgres.log")
        try:
            postgres.start()
            database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{postgres.address}"}
            with Stage(Path(folder) / "airflow", settings=database) as stage:
                multiply(f"postgresql://{postgres.address}", stage.private_run)
                for number in (1, 2, 3):
                    requests: list[str] = []
                    with stage.page("") as page:
                        page.on("request", lambda request, seen=requests: seen.append(request.url))  # type: ignore[misc]
                        begun = time.monotonic()
                        page.goto(f"{stage.airflow.url}/plugin/executions")
                        rows = page.locator("[data-executions] tbody tr")
                        expect(rows.first).to_be_visible(timeout=120_000)
                        shown = time.monotonic() - begun
                        expect(page.locator("[data-executions] [data-phase]")).to_have_count(rows.count(), timeout=120_000)
                        told = page.locator("[data-executions] p[role=status]").inner_text()
                        ours = [url for url in requests if "taskInstances" in url]
                        print(
                            f"Look {number}: rows after {shown:.2f} s, all phases after {time.monotonic() - begun:.2f} s; "
                            f"{len(ours)} requests of {len(requests)} are the page's own. {told}",
                            flush=True,
                        )
        finally:
            postgres.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
