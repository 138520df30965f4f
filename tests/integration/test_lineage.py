"""What tasks tell OpenLineage, in every mode. The events that a real Airflow writes: ``tests/airflow/test_platform.py``."""

from __future__ import annotations

import json
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.serde import Serde

from tests.harness import Ended, TaskRun
from tests.integration.conftest import Bench


def run(task: TaskRun) -> tuple[Ended, Any]:
    """Run a try; the operator object of its last worker."""
    run_by_airflow: list[Any] = []
    make = task.make

    def made() -> Any:
        operator: Any = make()

        class Kept(type(operator)):  # type: ignore[misc]
            def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
                run_by_airflow.append(self)  # Airflow runs a copy
                super().render_template_fields(context, jinja_env)

        operator.__class__ = Kept
        return operator

    task.make = made
    return task.run(), run_by_airflow[-1]


def facets(lineage: Any) -> dict[str, Any]:
    assert isinstance(lineage, OperatorLineage)
    assert not lineage.inputs
    assert not lineage.outputs
    facets: dict[str, Any] = {name: json.loads(Serde.to_json(facet)) for name, facet in lineage.run_facets.items()}
    return {name: {key: value for key, value in facet.items() if key[0] != "_"} for name, facet in facets.items()}


def test_the_execution_is_named_at_the_end(bench: Bench) -> None:
    if bench.mode == "sensor-from-trigger":
        bench.mode = "sensor-deferrable"  # a task without a worker sends no event
    for kind, phase in (("succeeded", "SUCCEEDED"), ("failed", "FAILED")):
        ended, operator = run(bench.task(kind))
        told = facets(operator.get_openlineage_facets_on_complete(None))
        system, ref, url = bench.system.name, ended.xcoms["ref"], ended.xcoms["url"]
        page = {"url": url} if url else {}  # what is not known is left out
        assert told["executions_execution"] == {"system": system, "ref": ref, "phase": phase, **page}
        assert told["externalQuery"]["externalQueryId"] == ref
        assert (url or system).startswith(told["externalQuery"]["source"])


def test_at_the_start_there_is_no_execution_yet(bench: Bench) -> None:
    operator: Any = bench.task("succeeded").make()
    assert facets(operator.get_openlineage_facets_on_start()) == {}


def test_a_task_that_does_not_wait_names_it_too(operator_bench: Bench) -> None:
    ended, operator = run(operator_bench.task("slow", wait_for_completion=False))
    told = facets(operator.get_openlineage_facets_on_complete(None))["executions_execution"]
    assert told["ref"] == ended.xcoms["ref"]
    assert told["phase"] in ("QUEUED", "RUNNING", "UNKNOWN")
