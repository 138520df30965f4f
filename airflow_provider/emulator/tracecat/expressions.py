"""The vendor's template expressions, limited to paths into inputs and results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_EXPRESSION = re.compile(r"\$\{\{((?:(?!\}\}|\$\{\{).)+)\}\}")


def evaluate(value: Any, context: Mapping[str, Any]) -> Any:
    """Return ``value`` with every ``${{ PATH }}`` replaced by the value at that path of ``context``; None if there is none.

    A string that is a single expression becomes the value itself, of any type.
    """
    if isinstance(value, Mapping):
        return {key: evaluate(item, context) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [evaluate(item, context) for item in value]
    if not isinstance(value, str):
        return value
    whole = _EXPRESSION.fullmatch(value)
    if whole:
        return _follow(whole[1].strip(), context)
    return _EXPRESSION.sub(lambda found: str(_follow(found[1].strip(), context)), value)


def _follow(path: str, context: Mapping[str, Any]) -> Any:
    value: Any = context
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
