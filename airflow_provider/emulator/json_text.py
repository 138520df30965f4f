"""JSON in and out: text that UTF-8 can't hold, half of a surrogate pair, is no reason for an error answer; nor is NaN."""

from __future__ import annotations

import json
import math
from typing import Any

from fastapi.responses import JSONResponse


def read_json(text: bytes) -> Any:
    """Return the value that a JSON text describes; each half of a surrogate pair that stands alone becomes U+FFFD.

    :raises ValueError: not JSON.
    """
    return _whole(json.loads(text))


def whole_body(body: bytes) -> bytes:
    """Return a request body without halves of surrogate pairs, as systems that keep text as UTF-8 read it; others are unchanged."""
    # Only an escape can bring one in.
    if b"\\ud" not in body.lower():
        return body
    try:
        value = json.loads(body)
    except ValueError:
        return body
    whole = _whole(value)
    return body if whole == value else json.dumps(whole).encode()


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value


class JsonResponse(JSONResponse):
    """A JSON answer; a half that a scenario contains is sent as an escape, as JavaScript does."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:  # a request may have brought NaN in, which JSON does not know
            return json.dumps(_finite(content), allow_nan=False, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value
