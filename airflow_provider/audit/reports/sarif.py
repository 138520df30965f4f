"""SARIF 2.1.0, which code scanning and editors read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from airflow_provider.audit.engine.finding import NEW, Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import acceptance, href, rule_of
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.execution.results.redaction import clean
from airflow_provider.provider_info import get_provider_info

MAX_RESULTS = 25_000
MAX_TEXT = 1_000
"""
Limits of GitHub's code scanning: results of a run, and characters of a text. It also refuses files of more than 10 MB (compressed), and
shows the 5,000 most severe results. See https://docs.github.com/code-security/reference/code-scanning/sarif-files/sarif-support.
"""
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "auditFinding/v1"
NAME = "airflow-provider-executions"
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note", Severity.INFO: "note"}
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "3.0", Severity.INFO: "0.0"}
"""CVSS scores, by which GitHub sorts."""


def text(result: AuditResult) -> str:
    """The report."""
    return json.dumps(log(result), ensure_ascii=False, indent=1)


def log(result: AuditResult) -> dict[str, Any]:
    """The report as plain data: one run. Fixed findings have the baseline state ``absent``."""
    found_by = {finding.rule for finding in (*result.findings, *result.fixed)}
    ids = sorted({*result.outcomes, *found_by, *(error.rule for error in result.errors)})
    index = {id: number for number, id in enumerate(ids)}
    compared = bool(result.fixed) or any(finding.state for finding in result.findings)
    # Of too many, code scanning would refuse the whole file: the most severe ones come first, fixed ones last.
    shown, fixed = result.findings[:MAX_RESULTS], result.fixed[: max(MAX_RESULTS - len(result.findings), 0)]
    results = [_result(finding, index, (finding.state or NEW) if compared else None) for finding in shown]
    results += [_result(finding, index, "absent") for finding in fixed]
    driver = {"name": NAME, "version": get_provider_info()["versions"][0], "rules": [_rule(id, rule_of(id)) for id in ids]}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "audit/"},
        "invocations": [_invocation(result, index)],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(id: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": id}
    docs = {name: rule.docs[name].replace("``", "`") for name in rule.docs}
    plain = {name: text.replace("`", "") for name, text in docs.items()}
    return {
        "id": id,
        "name": "".join(word.capitalize() for word in rule.slug.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": _short(plain["what"])},
        "help": {
            "text": f"{plain['what']}\n\nWhy: {plain['why']}\n\nHow to fix it: {plain['fix']}",
            "markdown": f"{docs['what']}\n\n**Why:** {docs['why']}\n\n**How to fix it:** {docs['fix']}\n\n"
            f"Before:\n\n```\n{rule.docs['before']}\n```\n\nAfter:\n\n```\n{rule.docs['after']}\n```\n"
            + "".join(f"\n- <{link}>" for link in rule.references),
        },
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["security", *rule.systems],
            "precision": rule.confidence.value,
            "security-severity": _SCORES[rule.severity],
            "persona": rule.persona.value,
        },
    }


def _result(finding: Finding, index: dict[str, int], state: str | None) -> dict[str, Any]:
    subject = finding.subject
    message = f"{subject.title}: {finding.message} ({finding.path}: {finding.evidence.text})"
    entry: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": _plain(message)},
        "locations": [_location(finding)],
        "fingerprints": {FINGERPRINT: finding.fingerprint},
        "partialFingerprints": {"primaryLocationLineHash": f"{finding.fingerprint}:1"},
        "suppressions": [],
        "properties": {
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
            "system": subject.system,
            "connection": subject.conn_id,
        },
    }
    if link := href(subject.url):
        entry["hostedViewerUri"] = link
    if state is not None:
        entry["baselineState"] = state
    if finding.waiver is not None:
        entry["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _plain(acceptance(finding))}]
    return entry


def _location(finding: Finding) -> dict[str, Any]:
    """Of a definition in a file, its line. GitHub rejects results without a file, so for others the id of the subject serves as one."""
    subject, place = finding.subject, finding.location
    name = {"name": clean(subject.title), "fullyQualifiedName": clean(f"{subject.id}#{finding.path}"), "kind": subject.kind}
    physical: dict[str, Any]
    if place is None:
        system, _, id = subject.id.partition(":")
        parts = [part for part in (system, *id.split("/")) if part.strip(".")]
        physical = {"artifactLocation": {"uri": _uri(parts) or "audit"}}
    else:
        region: dict[str, Any] = {"startLine": place.line, "startColumn": place.column}
        if finding.line:
            region["snippet"] = {"text": finding.line}
        physical = {"artifactLocation": {"uri": _uri(place.file.split("/"))}, "region": region}
    return {"physicalLocation": physical, "logicalLocations": [name]}


def _uri(parts: Iterable[str]) -> str:
    return "/".join(quote(part, safe="", errors="replace") for part in parts)


def _invocation(result: AuditResult, index: dict[str, int]) -> dict[str, Any]:
    notifications: list[dict[str, Any]] = [
        {
            "level": "error",
            "message": {"text": _plain(f"{error.rule} failed on {error.subject}: {error.error} at {error.where}")},
            "associatedRule": {"id": error.rule, "index": index[error.rule]},
        }
        for error in result.errors
    ]
    notifications += [{"level": "warning", "message": {"text": _plain(f"Not read: {gap.subject.id}: {gap.reason}")}} for gap in result.gaps]
    if (left := len(result.findings) - MAX_RESULTS) > 0:
        told = f"{left} findings, the least severe ones, are not in this file, since code scanning takes {MAX_RESULTS}."
        notifications.append({"level": "warning", "message": {"text": told}})
    return {"executionSuccessful": not result.errors, "startTimeUtc": _utc(result.started_at), "toolExecutionNotifications": notifications}


def _utc(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(message: str) -> str:
    """Without links and placeholders."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", _short(clean(message)).replace("](", r"\]("))


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
