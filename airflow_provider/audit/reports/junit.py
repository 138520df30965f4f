"""
JUnit XML, which CI servers show as test results.

A rule with findings has one failed case for each (skipped if it is accepted). Any other rule has one case, which is skipped if the rule
could not tell anything.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable

from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import acceptance, place_of, rule_of
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.execution.results.redaction import clean

_INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow."""


def text(result: AuditResult) -> str:
    """The report."""
    by_rule: dict[str, list[Finding]] = {id: [] for id in sorted(result.outcomes)}
    for finding in result.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    root = ElementTree.Element("testsuites", name="audit")
    totals = [_suite(root, id, findings, result.outcomes.get(id, Counter())) for id, findings in by_rule.items()]
    if not result.complete:
        totals.append(_gaps(root, result))
    tests, failures, errors = (str(sum(counts)) for counts in zip(*totals, strict=True)) if totals else ("0", "0", "0")
    root.attrib.update(tests=tests, failures=failures, errors=errors)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, id: str, findings: Iterable[Finding], outcomes: Counter[Status]) -> tuple[int, int, int]:
    rule, cases, failed = rule_of(id), 0, 0
    suite = ElementTree.SubElement(root, "testsuite", name=_plain(f"{id} {rule.title if rule else ''}".strip()))
    for finding in findings:
        name = f"{finding.subject.title}: {finding.path}"
        case = ElementTree.SubElement(suite, "testcase", classname=id, name=_plain(name))
        if finding.location:
            case.attrib.update(file=_plain(finding.location.file), line=str(finding.location.line))
        cases += 1
        if finding.waiver is not None:
            ElementTree.SubElement(case, "skipped", message=_plain(acceptance(finding)))
            continue
        failed += 1
        failure = ElementTree.SubElement(case, "failure", type=str(finding.severity), message=_plain(finding.message))
        where = place_of(finding)
        lines = [
            *([where] if where else []),
            finding.subject.id,
            f"found: {finding.evidence.text}",
            *([finding.line] if finding.line else []),
        ]
        failure.text = "\n".join(_plain(line) for line in lines)
    if not cases:
        cases = 1
        listed = not outcomes[Status.FAIL]
        case = ElementTree.SubElement(suite, "testcase", classname=id, name="no findings" if listed else "findings that are not listed")
        if not listed:
            ElementTree.SubElement(case, "skipped", message="The report holds the most severe findings only.")
        elif not outcomes[Status.PASS]:
            reason = "not available" if outcomes[Status.NOT_AVAILABLE] else "nothing to check"
            ElementTree.SubElement(case, "skipped", message=reason)
    suite.attrib.update(tests=str(cases), failures=str(failed), errors="0")
    return cases, failed, 0


def _gaps(root: ElementTree.Element, result: AuditResult) -> tuple[int, int, int]:
    told = [(gap.subject.id, "gap", gap.reason) for gap in result.gaps]
    told += [(error.subject, error.rule, f"The rule failed: {error.error} at {error.where}") for error in result.errors]
    if omitted := result.gaps_omitted + result.errors_omitted:
        told.append(("more", "gap", f"{omitted} more could not be read or checked."))
    count = str(len(told))
    suite = ElementTree.SubElement(root, "testsuite", name="Not read or checked", tests=count, failures="0", errors=count)
    for name, kind, reason in told:
        case = ElementTree.SubElement(suite, "testcase", classname=kind, name=_plain(name))
        ElementTree.SubElement(case, "error", type=kind, message=_plain(reason))
    return len(told), 0, len(told)


def _plain(value: str) -> str:
    return _INVALID.sub("\N{REPLACEMENT CHARACTER}", clean(value))
