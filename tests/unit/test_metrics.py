"""The metrics and their documentation agree. What arrives of them is in ``tests/integration/test_metrics.py``."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
import yaml

from airflow_provider import _metrics

DOCS = Path(__file__).parents[2] / "docs"
ADDED_TAGS = {"deferred_waits": ["phase", "hostname"]}
"""Tags that are no arguments."""
VALUES = {"seconds", "before", "after"}
"""Arguments that are no tags."""


def test_each_metric_is_documented_with_its_tags() -> None:
    functions = {name: value for name, value in vars(_metrics).items() if inspect.isfunction(value) and not name.startswith("_")}
    sent = {
        name: [argument for argument in inspect.signature(function).parameters if argument not in VALUES] + ADDED_TAGS.get(name, [])
        for name, function in functions.items()
        if function.__module__ == _metrics.__name__
    }
    assert {name: tags for name, (_, tags) in documented().items()} == sent
    assert len(sent) == 9


def documented() -> dict[str, tuple[str, list[str]]]:
    """Metric to its kind and its tags."""
    table = re.findall(r"^\| `executions\.(\w+)` \| (\w+) \| ([^|]*) \|", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    return {name: (kind, re.findall(r"`(\w+)`", tags)) for name, kind, tags in table}


def expressions(file: str) -> list[str]:
    text = (DOCS / "monitoring" / file).read_text()
    if file.endswith(".json"):
        return [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    return [rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("file", ["dashboard.json", "alerts.yml"])
def test_the_examples_ask_for_metrics_and_tags_that_exist(file: str) -> None:
    metrics = documented()
    used = set()
    for expression in expressions(file):
        for name, labels in re.findall(r"airflow_executions_(\w+?)(?:_sum|_count)?(?:\{([^}]*)\}|\[|\)|$)", expression):
            kind, tags = metrics[name]
            assert (f"{name}_sum" in expression or f"{name}_count" in expression) == (kind == "timer"), expression
            assert set(re.findall(r"(\w+)=", labels)) <= set(tags), expression
            assert {tag for group in re.findall(r"by \(([^)]*)\)", expression) for tag in group.split(", ")} <= set(tags), expression
            used.add(name)
        assert expression.count("airflow_executions_") >= 1
        assert expression.count("(") == expression.count(")")
    assert len(used) >= 7
    assert used == set(metrics) or file == "alerts.yml"
