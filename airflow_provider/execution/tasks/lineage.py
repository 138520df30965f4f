"""What OpenLineage is told about a task's execution. Imported by Airflow's OpenLineage provider only, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow_provider.execution.tasks.attempt import Attempt

FACET = "executions_execution"
"""Key of our run facet. Keys of facets that OpenLineage does not define have a prefix."""


def lineage_of(attempt: Attempt | None, system: str) -> Any:
    """
    The run facets of a task, as the operators' ``get_openlineage_facets_on_...`` return them. It sends no request.

    :param attempt: knows the execution; None, or without a ref, before there is one.
    :param system: short name of the system.
    :returns: ``OperatorLineage``, without facets if there is no execution yet.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.facet_v2 import external_query_run

    if attempt is None or attempt.ref is None:
        return OperatorLineage()
    source = urlsplit(attempt.url) if attempt.url else None
    return OperatorLineage(
        run_facets={
            "externalQuery": external_query_run.ExternalQueryRunFacet(
                externalQueryId=attempt.ref, source=f"{source.scheme}://{source.netloc}" if source else system
            ),
            FACET: _facet_class()(
                system=system, ref=attempt.ref, url=attempt.url, phase=attempt.snapshot.phase.value if attempt.snapshot else None
            ),
        }
    )


def _facet_class() -> Any:
    import attr
    from openlineage.client.facet_v2 import RunFacet

    @attr.define
    class ExecutionRunFacet(RunFacet):
        """The execution that a task started or waited for."""

        system: str
        ref: str
        url: str | None
        phase: str | None

    return ExecutionRunFacet
