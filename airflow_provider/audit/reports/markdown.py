"""
Markdown: a full report, and a summary of a few lines for notifiers.

Remote text is put into code spans or escaped, so that it can't add markup, links or mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from airflow_provider.audit.engine.finding import NEW, Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import (
    TITLES,
    WORST_FIRST,
    Overview,
    acceptance,
    href,
    overview,
    place_of,
    readable_time,
    rule_of,
    state_of,
)
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.results.redaction import clean

MAX_SHOWN = 500
MAX_SUMMARISED = 10
MAX_TITLE = 80
SUMMARY_CHARACTERS = 2_000
"""The limit of Discord; other notifiers accept more."""
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&!$]|(?<=\{)%|%(?=\})")


def code(text: object) -> str:
    """A code span. Template braces are separated, so that no template engine reads them."""
    shown = re.sub(r"\{(?=[{%#])|[}%#](?=\})", r"\g<0> ", clean(text)).replace("|", "¦").strip() or "-"
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(text: object) -> str:
    """Escaped text, without markup, links or mentions."""
    escaped = _SPECIAL.sub(r"\\\g<0>", clean(text))
    return escaped.replace("://", r"\://").replace("www.", r"www\.").replace("@", "@\N{WORD JOINER}")


def linked(title: str, url: str | None) -> str:
    """A name, with a link if there is a page."""
    link = href(url)
    return f"[{code(title)}](<{link}>)" if link else code(title)


def text(result: AuditResult, settings: AuditSettings) -> str:
    """The full report."""
    numbers = overview(result)
    return "\n".join([*_head(result, numbers, settings), *_findings(numbers), *_rest(result, numbers)]) + "\n"


def summary(result: AuditResult, limit: int = SUMMARY_CHARACTERS) -> str:
    """
    The counts and the most severe rules, those with new findings first.

    :param limit: maximum number of characters.
    """
    numbers = overview(result)
    lines = [f"**Audit: {numbers.counts}**" + (f" ({numbers.changes})" if numbers.changes else "")]
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in numbers.open:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    length, left = len(lines[0]), numbers.total
    for (severity, id), findings in sorted(groups.items(), key=lambda item: all(one.state != NEW for one in item[1]))[:MAX_SUMMARISED]:
        line = _summarised(severity, id, findings)
        if length + len(line) > limit - len("\n- and 1,000,000 more\n"):
            break
        lines.append(line)
        length, left = length + 1 + len(line), left - len(findings)
    return "\n".join([*lines, f"- and {left} more"] if left else lines) + "\n"


def _summarised(severity: Severity, id: str, findings: list[Finding]) -> str:
    rule, new = rule_of(id), [finding for finding in findings if finding.state == NEW]
    first = (new or findings)[0].subject
    count = f"{len(findings)}, {len(new)} new" if new else f"{len(findings)}"
    title = first.title if len(first.title) <= MAX_TITLE else f"{first.title[:MAX_TITLE]}…"
    name = f"{id} {rule.title}" if rule else id
    return f"- **{severity}** {name} ({count}): {linked(title, first.url)}{', ...' if len(findings) > 1 else ''}"


def _head(result: AuditResult, numbers: Overview, settings: AuditSettings) -> Iterator[str]:
    yield "# Audit report"
    yield ""
    yield f"**{numbers.counts}**" + (f" ({numbers.changes})" if numbers.changes else "")
    yield ""
    yield f"Audited {readable_time(result.started_at, settings.time_zone)}."
    if result.since and result.until:
        yield f"Executions from {readable_time(result.since, settings.time_zone)} to {readable_time(result.until, settings.time_zone)}."
    checked = [f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in sorted(result.subjects.items())]
    yield f"Checked: {', '.join(checked) or 'nothing'}."
    if numbers.by_system:
        yield ""
        yield f"| System | {' | '.join(map(str, WORST_FIRST))} |"
        yield f"|---|{'--:|' * len(WORST_FIRST)}"
        for system, counts in sorted(numbers.by_system.items()):
            yield f"| {TITLES.get(system, code(system))} | {' | '.join(str(counts[severity]) for severity in WORST_FIRST)} |"


def _findings(numbers: Overview) -> Iterator[str]:
    shown = numbers.open[:MAX_SHOWN]
    for severity, group in groupby(shown, key=lambda finding: finding.severity):
        yield from ("", f"## {severity.value.capitalize()}")
        for id, findings in groupby(sorted(group, key=lambda finding: finding.rule), key=lambda finding: finding.rule):
            yield from _of_rule(id, list(findings))
    if len(numbers.open) > len(shown):
        yield from ("", f"{len(numbers.open) - len(shown)} more findings are in the JSON report.")


def _of_rule(id: str, findings: list[Finding]) -> Iterator[str]:
    rule = rule_of(id)
    yield from ("", f"### {id} {rule.title if rule else ''}".rstrip(), "")
    if rule:
        why, fix = (" ".join(rule.docs[name].replace("``", "`").split()) for name in ("why", "fix"))
        yield from (f"{why}", "", f"**How to fix it:** {fix}", "")
    yield from _lines(findings)


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        state = f", {state_of(finding)}" if finding.state else ""
        where = f"{linked(finding.subject.title, finding.subject.url)} {code(finding.path)}"
        file = f" ({code(place_of(finding))})" if finding.location else ""
        line = f" Line: {code(finding.line)}." if finding.line else ""
        found = f"{prose(finding.message)} Found: {code(finding.evidence.text)}.{line}"
        yield f"- {where}{file}: {found} Confidence {finding.confidence}{state}."


def _rest(result: AuditResult, numbers: Overview) -> Iterator[str]:
    if result.fixed:
        yield from ("", "## Fixed since the last audit", "")
        for finding in result.fixed[:MAX_SHOWN]:
            yield f"- {finding.rule} {linked(finding.subject.title, finding.subject.url)} {code(finding.path)}: {prose(finding.message)}"
    if numbers.accepted:
        yield from ("", "## Accepted", "")
        for finding in numbers.accepted[:MAX_SHOWN]:
            where = f"{linked(finding.subject.title, finding.subject.url)} {code(finding.path)}"
            yield f"- **{finding.severity}** {finding.rule} {where}: {prose(acceptance(finding))}"
    if numbers.gaps:
        yield from ("", "## Not read", "", "The following could not be read, so it was not checked.", "")
        for gap in result.gaps[:MAX_SHOWN]:
            yield f"- {code(gap.subject.id)}: {prose(gap.reason)}"
        if numbers.gaps > MAX_SHOWN:
            yield f"- and {numbers.gaps - min(len(result.gaps), MAX_SHOWN)} more"
    if result.errors:
        yield from ("", "## Rule errors", "")
        for error in result.errors:
            yield f"- {error.rule} on {code(error.subject)}: {code(error.error)} at {code(error.where)}"
