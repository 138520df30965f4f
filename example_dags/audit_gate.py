"""
A release that an audit may block: the pipeline is audited first, and runs only if the audit has no finding of severity high.

Set ``pipeline`` in the run's configuration to select the pipeline.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider.audit.operators import AuditBuddyConfigurationOperator, AuditReportOperator
from airflow_provider.buddy.operators import BuddyRunPipelineOperator

with DAG(
    "audit_gate",
    schedule=None,
    params={
        "pipeline": Param("release", type="string", description="Buddy pipeline: its id, identifier or name"),
        "reports": Param("file:///tmp/airflow-audits", type="string", description="Folder for the reports, s3://... as well"),
    },
    tags=["audit", "buddy", "example"],
    doc_md=__doc__,
):
    # [START gate]
    audit = AuditBuddyConfigurationOperator(
        task_id="audit",
        projects=["shop"],
        pipelines=["{{ params.pipeline }}"],
        reports_path="{{ params.reports }}",
    )
    gate = AuditReportOperator(
        task_id="gate",
        reports=[audit.output],
        reports_path="{{ params.reports }}",
        fail_on={"severity": "high", "confidence": "medium", "new_only": False},  # known findings block too
    )
    release = BuddyRunPipelineOperator(task_id="release", pipeline="{{ params.pipeline }}", branch="main", deferrable=True, poll_interval=5)

    audit >> gate >> release
    # [END gate]
