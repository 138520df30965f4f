"""The samples beside the tests: ``samples/<RULE_ID>/{fail,pass,not_available,not_applicable}_<what it shows>.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.records.export import facts_of
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.rules.rule import REGISTRY
from airflow_provider.audit.settings.model import AuditSettings

ROOT = Path(__file__).parent / "samples"
STATUSES = sorted((status.value for status in Status), key=len, reverse=True)


@dataclass(frozen=True)
class Sample:
    """One record of the export format; ``expect`` may hold ``paths``, ``severity``, ``confidence`` and the ``settings`` to judge it by."""

    rule: str
    name: str
    status: Status
    record: dict[str, Any]

    @property
    def expect(self) -> dict[str, Any]:
        return self.record.get("expect", {})

    def judged(self) -> AuditResult:
        """What the sample's own rule says of it, in a whole audit."""
        facts = list(facts_of(self.record))
        settings = AuditSettings.model_validate(self.expect.get("settings", {}))
        audit = Audit(settings, now=facts[0].seen_at, rules=[REGISTRY[self.rule]])
        for fact in facts:
            audit.feed(fact)
        return audit.finish()


def samples() -> list[Sample]:
    """All of them."""
    found = []
    for path in sorted(ROOT.glob("*/*.json")):
        status = next((status for status in STATUSES if path.stem.startswith(f"{status}_")), None)
        assert status is not None, f"{path} must begin with what is expected, such as fail_"
        found.append(Sample(path.parent.name, path.stem, Status(status), json.loads(path.read_text(encoding="utf-8"))))
    return found
