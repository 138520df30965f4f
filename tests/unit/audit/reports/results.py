"""Results to report: one with everything in it, and one whose every text is hostile."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.result import AuditResult, RuleError
from airflow_provider.audit.engine.waivers import Waiver, Waivers
from airflow_provider.audit.facts.window import WindowFacts
from airflow_provider.audit.records.export import facts_of
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.outcome import fail
from airflow_provider.audit.rules.rule import REGISTRY
from airflow_provider.audit.settings.model import AuditSettings

NOW = datetime(2026, 3, 10, 3, tzinfo=timezone.utc)
SETTINGS = AuditSettings()
MARK = "hostile"
"""In all hostile texts, so that a test can see that it was shown at all."""
HOSTILE = (
    f"{MARK}</script><script>document.title='owned'</script><img src=x onerror=alert(1)> \" ' & "
    f"[{MARK}](javascript:alert(1)) ![x](http://127.0.0.1:9/x.png) **bold** `code` ``` | # @everyone https://example.com www.example.com "
    "{{ 7*7 }} {% raw %} {# x #} ${x} {0} \x1b[31mred\x07\r\n# heading\n| a | b |\n::group::x \u202eturned \ud800half"
)


def record(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "conn_id": "c", "seen_at": NOW.isoformat(), **fields}


def action(
    number: int, name: str = "Build", *, place: str = "web", pipeline: str = "Deploy", url: str | None = None, **data: Any
) -> dict[str, Any]:
    page = url or f"https://app.buddy.works/acme/web/pipelines/pipeline/89/action/{number}/edit"
    return record(
        "buddy.action",
        workspace="acme",
        project=place,
        pipeline={"id": 89, "name": pipeline, "html_url": page},
        data={"id": number, "name": name, "type": "RUN_DOCKER_CONTAINER", "timeout": 60, "html_url": page, **data},
    )


def window(name: str, url: str | None = None, failed: int = 3) -> dict[str, Any]:
    def counted(days: int, seconds: float) -> dict[str, Any]:
        since = NOW - timedelta(days=days)
        return {
            "since": since.isoformat(),
            "until": (since + timedelta(days=1)).isoformat(),
            "phases": {"SUCCEEDED": 20, "FAILED": failed},
            "durations": [seconds + number for number in range(20)],
        }

    data = {"current": counted(1, 300.0), "previous": counted(2, 200.0)}
    return record("window", system="buddy", definition={"id": "89", "name": name, "url": url}, data=data)


def judged(*records: dict[str, Any], **arguments: Any) -> AuditResult:
    audit = Audit(SETTINGS, now=NOW, since=NOW - timedelta(days=1), until=NOW, **arguments)
    for one in records:
        for fact in facts_of(one):
            audit.feed(fact)
    return audit.finish()


def everything() -> AuditResult:
    """Open, new, known, accepted and fixed findings of several severities; a gap, an error, a window."""
    known = [action(1, docker_image_name="node", docker_image_tag="latest"), action(4, docker_image_name="php", docker_image_tag="latest")]
    waiver = Waiver(
        rule="BDY001", subject="*/action/3", reason="accepted_risk", text="A test", owner="web team", expires=date(2026, 12, 31)
    )  # type: ignore[arg-type]
    result = judged(
        known[0],
        action(
            2, docker_image_name="node", docker_image_tag="latest", variables=[{"key": "PASSWORD", "value": "hunter2!", "encrypted": False}]
        ),
        action(3, docker_image_name="node", docker_image_tag="latest"),
        action(4, docker_image_name="php", docker_image_tag="8.3.1", timeout=None),
        record("gap", system="tracecat", subject="tracecat:ws/executions", reason="Scope workflow:read is missing."),
        baseline=judged(*known).baseline,
        waivers=Waivers([waiver], NOW.date()),
    )
    result.errors.append(RuleError("BDY013", "buddy:acme/web/89", "ValueError", "buddy_limits.py:9"))
    result.windows += [fact for fact in facts_of(window("Deploy")) if isinstance(fact, WindowFacts)]
    return result


def hostile(*, forged: bool = True) -> AuditResult:
    """
    Everything that a remote system can name is hostile, and so are addresses.

    :param forged: so is what only a JSON report that somebody made up could say.
    """
    all_rules()

    def check(fact: Any, settings: AuditSettings) -> Any:
        yield fail(f"variables[{HOSTILE}]", HOSTILE, f"{HOSTILE} is wrong.")

    rule = replace(REGISTRY["BDY013"], check=check)
    result = judged(
        action(1, HOSTILE, place=HOSTILE, pipeline=HOSTILE, url="javascript:alert(1)"),
        record("gap", system="buddy", subject=HOSTILE, reason=HOSTILE),
        rules=[rule],
        baseline=Baseline(),
    )
    result.windows += [fact for fact in facts_of(window(HOSTILE, "javascript:alert(1)")) if isinstance(fact, WindowFacts)]
    if not forged:
        return result
    bad = replace(
        result.findings[0], subject=replace(result.findings[0].subject, title=HOSTILE, url="javascript:alert(1)"), message=HOSTILE
    )
    waiver = {"reason": "accepted_risk", "text": HOSTILE, "owner": HOSTILE, "expires": "2026-12-31"}
    result.findings += [bad, replace(bad, waiver=waiver)]
    result.fixed.append(bad)
    result.errors.append(RuleError("BDY013", HOSTILE, HOSTILE, HOSTILE))
    result.reasons["BDY013"] = Counter({HOSTILE: 2})
    return result


def as_document(result: AuditResult) -> dict[str, Any]:
    """As a JSON report, read again."""
    from airflow_provider.audit.reports import text_of

    found: dict[str, Any] = json.loads(text_of("json", result))
    return found
