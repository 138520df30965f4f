"""
Every night, audit how Buddy is configured and what has run in all three systems since the last audit.

The two audits never fail. ``report`` merges them and decides: it fails on new findings of severity high, and if
something could not be read.
Everything is stored in the folder ``reports``. The next audit reads there where this one ended and what it found.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, Param, task

from airflow_provider.audit.operators import AuditBuddyConfigurationOperator, AuditExecutionsOperator, AuditReportOperator

with DAG(
    "nightly_audit",
    schedule="0 3 * * *",
    catchup=False,
    max_active_runs=1,
    params={"reports": Param("file:///tmp/airflow-audits", type="string", description="Folder for the reports, s3://... as well")},
    default_args={"reports_path": "{{ params.reports }}", "settings": {"time_zone": "Europe/Berlin", "limits": {"running": "PT12H"}}},
    tags=["audit", "example"],
    doc_md=__doc__,
):
    # [START audits]
    decided_later = ["gaps", "empty", "missing"]
    configuration = AuditBuddyConfigurationOperator(task_id="configuration", projects=["*"], pipelines=["*"], allow=decided_later)
    executions = AuditExecutionsOperator(
        task_id="executions",
        targets=[{"conn_id": "buddy_default"}, {"conn_id": "tracecat_default"}, {"conn_id": "alga_psa_default"}],
        allow=decided_later,
    )
    # [END audits]

    # [START report]
    report = AuditReportOperator(
        task_id="report",
        reports=[configuration.output, executions.output],
        fail_on="high",
        outlets=[Asset("nightly_audit")],
    )
    # [END report]

    # [START tell]
    @task(trigger_rule="all_done")
    def tell(**context: Any) -> str:
        ti = context["ti"]
        audit = ti.xcom_pull(task_ids="report") or ti.xcom_pull(task_ids="report", key="audit")
        text = f"{audit['summary']}: {audit['findings']}" if audit else "The audit did not finish; see its logs."
        print(text)
        return text

    report >> tell()
    # [END tell]
