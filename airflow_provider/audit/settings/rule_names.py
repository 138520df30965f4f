"""Ids of rules, as settings and waivers name them: a misspelt one would switch nothing off and cover nothing, in silence."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator


def _known(id: str) -> str:
    from airflow_provider.audit.rules import all_rules  # rules import the settings

    ids = {name: rule.id for rule in all_rules() for name in (rule.id, rule.slug.upper())}
    if ids.get(id) != id:
        close = get_close_matches(id.upper(), ids, 1)
        raise ValueError(f"there is no rule {id[:80]!r}" + (f"; did you mean {ids[close[0]]}" if close else ""))
    return id


RuleId = Annotated[str, AfterValidator(_known)]
"""The id of a rule that there is."""
