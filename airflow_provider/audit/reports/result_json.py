"""An audit's result as JSON and back, which audit tasks pass to each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from airflow_provider.audit.engine import trend
from airflow_provider.audit.engine.finding import Finding, subject_as_json
from airflow_provider.audit.engine.result import AuditResult, RuleError
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.window import WindowCounts, WindowFacts
from airflow_provider.audit.records.export import facts_of
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.snapshot import web_link
from airflow_provider.execution.results.redaction import clean
from airflow_provider.provider_info import get_provider_info

SCHEMA, VERSION = "airflow-provider-executions/audit-result", 1


def dump(result: AuditResult) -> dict[str, Any]:
    """Plain data, see ``reports/audit-result-1.schema.json``."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "generator": {"name": "airflow-provider-executions", "version": get_provider_info()["versions"][0]},
        "rules": _described(result),
        "started_at": result.started_at.isoformat(),
        "since": result.since and result.since.isoformat(),
        "until": result.until and result.until.isoformat(),
        "findings": [finding.as_json() for finding in result.findings],
        "fixed": [finding.as_json() for finding in result.fixed],
        "outcomes": {rule: {str(status.value): count for status, count in counts.items()} for rule, counts in result.outcomes.items()},
        "reasons": {rule: dict(counts) for rule, counts in result.reasons.items()},
        "subjects": dict(result.subjects),
        "gaps": [{"subject": subject_as_json(gap.subject), "reason": gap.reason, "missing": gap.missing} for gap in result.gaps],
        "gaps_omitted": result.gaps_omitted,
        "errors": [asdict(error) for error in result.errors],
        "errors_omitted": result.errors_omitted,
        "findings_omitted": {severity.value: count for severity, count in result.findings_omitted.items()},
        "windows": [_window(window) for window in result.windows],
        "trend": trend.plain(result.trend),
    }


def _described(result: AuditResult) -> dict[str, Any]:
    """Documentation of the rules that were checked, except those that only a later version has."""
    rules = {rule.id: rule for rule in all_rules() if rule.id in result.outcomes}
    return {
        id: {
            "slug": rule.slug,
            "title": rule.title,
            "severity": rule.severity.value,
            "confidence": rule.confidence.value,
            "persona": rule.persona.value,
            "systems": list(rule.systems),
            "what": rule.docs["what"],
            "why": rule.docs["why"],
            "fix": rule.docs["fix"],
            "references": list(rule.references),
        }
        for id, rule in rules.items()
    }


def text(result: AuditResult) -> str:
    """The same as text."""
    return json.dumps(dump(result), ensure_ascii=False, indent=1)


def _window(window: WindowFacts) -> dict[str, Any]:
    definition = {**asdict(window.definition), "name": clean(window.definition.name), "url": web_link(window.definition.url)}
    return {
        "kind": "window",
        "system": window.system,
        "conn_id": window.conn_id,
        "apart": "@" in window.subject.id.partition(":")[0],
        "seen_at": window.seen_at.isoformat(),
        "place": window.subject.id.partition(":")[2].removesuffix("/window"),
        "definition": definition,
        "data": {"current": _counted(window.current), "previous": _counted(window.previous)},
    }


def _counted(counted: WindowCounts) -> dict[str, Any]:
    times = {"since": counted.since.isoformat(), "until": counted.until.isoformat()}
    return {**asdict(counted), **times, "phases": {phase.value: count for phase, count in counted.phases.items()}}


def load(data: Mapping[str, Any]) -> AuditResult:
    """
    Read what :func:`dump` wrote.

    :raises ConfigurationError: if it has another format.
    """
    try:
        if (data["schema"], data["version"]) != (SCHEMA, VERSION):
            raise ValueError("schema")
        result = AuditResult(datetime.fromisoformat(data["started_at"]))
        result.since, result.until = (datetime.fromisoformat(data[name]) if data[name] else None for name in ("since", "until"))
        result.findings = [Finding.from_json(item) for item in data["findings"]]
        result.fixed = [Finding.from_json(item) for item in data["fixed"]]
        result.outcomes = {rule: Counter({Status(name): n for name, n in counts.items()}) for rule, counts in data["outcomes"].items()}
        result.reasons = {rule: Counter(counts) for rule, counts in data["reasons"].items()}
        result.subjects = Counter(data["subjects"])
        result.gaps = [
            GapFacts(subject=Subject(**item["subject"]), reason=item["reason"], missing=item.get("missing", False)) for item in data["gaps"]
        ]
        result.errors = [RuleError(**item) for item in data["errors"]]
        result.gaps_omitted, result.errors_omitted = data["gaps_omitted"], data["errors_omitted"]
        result.findings_omitted = Counter({Severity(name): count for name, count in data["findings_omitted"].items()})
        result.trend = trend.points_of(data.get("trend") or [])
        windows = [fact for record in data["windows"] for fact in facts_of(record)]
        result.windows = [window for window in windows if isinstance(window, WindowFacts)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"This is not an audit result of version {VERSION}.") from error
    return result
