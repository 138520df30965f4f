"""Changes of a definition since the last audit, by hashes: values are not stored, since some are secrets."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from airflow_provider.audit.facts.action import HIDDEN, ActionFacts
from airflow_provider.audit.facts.fact import NONE, Fact, Subject, Variable
from airflow_provider.audit.facts.pipeline import PipelineFacts

HASH = 8
"""Hexadecimal digits for each field."""
MAX_FIELDS, MAX_NAME = 500, 64
"""Maximum number of fields, and of characters of a name: names of unknown fields are remote text."""
_NOT_SET = frozenset({
    "subject", "fields", "seen_at", "pipeline", "config", "detailed", "other", "id", "workspace", "project", "creator", "url", "html_url",
    "create_date", "paused", "unknown", "damage", "current_revision", "last_execution_status",
    "last_execution_revision", "last_execution_date",
})  # fmt: skip
"""Fields that nobody sets, or that a run sets."""
_NOT_OF_A_WORD = re.compile(r"[^\w.-]")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChangeFacts(Fact):
    """
    A definition now and in the last audit.

    :param before: its digest then, see :func:`digest`; None if it is new.
    :param compared: whether there is a previous audit to compare with.
    """

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    before: str | None
    now: str
    compared: bool = True


def digest(facts: PipelineFacts | ActionFacts) -> str:
    """Each field that is set, with a hash of its value: ``name=hash``, separated by spaces. Null fields are omitted."""
    values = {field.name: getattr(facts, field.name) for field in fields(facts)} | dict(facts.other)
    if isinstance(facts, ActionFacts):
        values = facts.config.model_dump(mode="json", exclude_unset=True) | values
    else:
        values["actions"] = None if facts.actions is None else sorted(action.id for action in facts.actions)
    pairs = [(_word(name), value) for name, value in sorted(values.items()) if value and name not in _NOT_SET]
    return " ".join(f"{name}={_hash(value)}" for name, value in pairs[:MAX_FIELDS])


def changed(before: str, now: str) -> list[str]:
    """The fields that differ between two digests. Fields that need a permission only count if both have them."""
    old, new = (dict(part.split("=") for part in text.split()) for text in (before, now))
    unseen = HIDDEN - (old.keys() & new.keys())
    return sorted(name for name in (old.keys() | new.keys()) - unseen if old.get(name) != new.get(name))


def _word(name: str) -> str:
    return _NOT_OF_A_WORD.sub("_", name[:MAX_NAME])


def _hash(value: Any) -> str:
    text = _JSON.encode(value)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH]


def _plain(value: Any) -> Any:
    if isinstance(value, Variable):  # the same value may have a new ciphertext in each answer
        return [value.key, None if value.encrypted else value.value, value.encrypted, value.type, value.defaults, value.settable]
    return str(value)


_JSON = json.JSONEncoder(sort_keys=True, default=_plain)
