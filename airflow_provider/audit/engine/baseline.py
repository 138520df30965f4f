"""The findings of the previous audit, to determine which are new and which are fixed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.audit.engine.finding import Finding
from airflow_provider.errors import ConfigurationError

SCHEMA, VERSION = "airflow-provider-executions/audit-baseline", 1


@dataclass
class Baseline:
    """
    Findings of the previous audit, by fingerprint.

    A finding is only fixed if its rule was checked again for the same subject: findings about data that could not be read this time stay
    in the baseline. Findings about executions that have left the window are dropped.
    """

    findings: dict[str, Finding] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    """Digest of each pipeline and action, by subject."""

    @classmethod
    def from_json(cls, text: str) -> Baseline:
        """
        Read what :meth:`to_json` wrote.

        :raises ConfigurationError: if it has another format.
        """
        try:
            data = json.loads(text)
            if (data["schema"], data["version"]) != (SCHEMA, VERSION):
                raise ValueError("schema")
            return cls.of((Finding.from_json(item) for item in data["findings"]), data.get("definitions") or {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"This is not an audit baseline of version {VERSION}.") from error

    @classmethod
    def of(cls, findings: Iterable[Finding], definitions: Mapping[str, str] | None = None) -> Baseline:
        """Make a baseline of findings, and of digests of definitions."""
        return cls({finding.fingerprint: finding for finding in findings}, dict(definitions or {}))

    def to_json(self) -> str:
        """The baseline as text, for the next audit."""
        findings: list[dict[str, Any]] = [{**finding.as_json(), "state": None} for _, finding in sorted(self.findings.items())]
        kept = {"schema": SCHEMA, "version": VERSION, "findings": findings, "definitions": dict(sorted(self.definitions.items()))}
        return json.dumps(kept, ensure_ascii=False, indent=1)

    def __contains__(self, finding: Finding) -> bool:
        return finding.fingerprint in self.findings
