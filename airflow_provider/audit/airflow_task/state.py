"""The state of an audit between runs, in a small file next to its reports."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.result import utc

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

SCHEMA, VERSION = "airflow-provider-executions/audit-state", 1
MAX_AUDITS = 50
"""Maximum number of audits."""


@dataclass(frozen=True)
class Done:
    """A successful audit. ``until``: end of its window, ISO 8601; None for an audit of configuration."""

    run_id: str
    until: str | None
    baseline: str

    @property
    def end(self) -> datetime | None:
        """End of its window, UTC."""
        return None if self.until is None else utc(datetime.fromisoformat(self.until))


@dataclass
class State:
    """The latest audits of one task, oldest first."""

    audits: list[Done] = field(default_factory=list)

    @classmethod
    def load(cls, path: ObjectStoragePath) -> State:
        """
        Read the state; empty if there is none.

        :raises ConfigurationError: if the file has another format.
        """
        if not path.exists():
            return cls()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if (data["schema"], data["version"]) != (SCHEMA, VERSION):
                raise ValueError("schema")
            return cls([Done(**item) for item in data["audits"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is not the state of an audit of version {VERSION}. Remove it to start over.") from error

    def before(self, run_id: str) -> Done | None:
        """The audit before a run. A cleared run compares with the same audit as at first."""
        runs = [done.run_id for done in self.audits]
        earlier = self.audits[: runs.index(run_id)] if run_id in runs else self.audits
        return earlier[-1] if earlier else None

    def add(self, done: Done) -> None:
        """Add an audit; replaces an earlier one of the same run."""
        runs = [audit.run_id for audit in self.audits]
        if done.run_id in runs:
            self.audits[runs.index(done.run_id)] = done
        else:
            self.audits = [*self.audits, done][-MAX_AUDITS:]

    def save(self, path: ObjectStoragePath) -> None:
        """Write the state."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {"schema": SCHEMA, "version": VERSION, "audits": [asdict(done) for done in self.audits]}
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
