"""Hides secrets that are known, the connection's credential and the task's secret arguments, in whatever the remote side says."""

from __future__ import annotations

import hashlib
import json
import re
import string
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from airflow_provider._text import on_one_line
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.model.snapshot import Snapshot

HIDDEN = "***"
CREDENTIAL = "***credential***"
"""Instead of the connection's credential in an answer."""
MIN_SECRET_CHARACTERS = 5
"""Minimum length of a secret to hide: hiding shorter texts would garble the log, and give them away."""
MIN_ENCODED_CHARACTERS = 8
"""Minimum length of what base64 makes of a secret: shorter texts occur in other words by chance."""
MAX_PARTS_ONE_BY_ONE = 64
"""Up to so many parts are searched for one by one, which is faster for few."""
MAX_LINES_IN_BASE64 = 20
"""Up to so many lines of a secret are also hidden in base64 each for itself. Of a longer one, the whole is."""

_PLAIN = re.compile(r"[\w.~-]*", re.ASCII)
"""Texts that no escaping changes."""
_SHAPES = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_VENDOR_PREFIX = re.compile(r"(?:[a-z]{1,6}_){1,3}")
_FIELD = re.compile("[a-z_]+")
"""The names of an API's own fields, which are never hidden: without them an answer can't be read."""
_MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_HTML = tuple(
    str.maketrans({**_MARKUP, **more})
    for more in (
        {},
        {'"': "&quot;"},
        {'"': "&quot;", "'": "&#x27;"},  # Python
        {'"': "&#34;", "'": "&#39;"},  # Jinja
        {'"': "&quot;", "'": "&#39;"},  # Rails, lodash
        {'"': "&quot;", "'": "&#039;"},  # PHP
        {'"': "&quot;", "'": "&apos;"},  # XML
        {'"': "&#34;", "'": "&#39;", "+": "&#43;"},  # Go
        {'"': "&quot;", "'": "&#39;", "/": "&#x2F;", "=": "&#x3D;", "`": "&#x60;"},  # Mustache
    )
)
"""How libraries escape a text for HTML or XML."""
_GO_JSON = str.maketrans({"&": r"\u0026", "<": r"\u003c", ">": r"\u003e"})
"""What Go escapes in JSON besides, for pages that hold it."""
_ESCAPED = re.compile(rb"\\(?:/|u00[2-7])", re.IGNORECASE)
"""A printable character that JSON need not escape, and that may be part of a secret."""


class Parts(tuple[str, ...]):
    """The texts to hide, longest first, with a search for all of them at once. See :func:`parts_of`."""

    def within(self, text: str) -> Sequence[str]:
        """The parts that a text has in it, longest first. The work grows with the text, not with the number of parts."""
        if len(self) <= MAX_PARTS_ONE_BY_ONE:
            return [part for part in self if part in text]
        index = self._index
        found: set[str] = set()
        for start in range(len(text) - MIN_SECRET_CHARACTERS + 1):
            for length, parts in index.get(text[start : start + MIN_SECRET_CHARACTERS], ()):
                if (part := text[start : start + length]) in parts:
                    found.add(part)
        return sorted(found, key=len, reverse=True) if found else ()

    @cached_property
    def _index(self) -> dict[str, tuple[tuple[int, frozenset[str]], ...]]:
        """The beginning of parts to the parts that begin so, by their lengths."""
        by_beginning: dict[str, dict[int, set[str]]] = {}
        for part in self:
            by_beginning.setdefault(part[:MIN_SECRET_CHARACTERS], {}).setdefault(len(part), set()).add(part)
        return {
            beginning: tuple((length, frozenset(parts)) for length, parts in lengths.items()) for beginning, lengths in by_beginning.items()
        }


class Secrets(tuple[str, ...]):
    """Secrets that keep the texts to hide for them: for a wait, which needs them at each poll, and for each line of a log."""

    @cached_property
    def parts(self) -> Parts:
        """See :func:`parts_of`. The first time takes too long for an event loop, if a secret has hundreds of lines."""
        parts = _parts_of(tuple(self))
        if len(parts) > MAX_PARTS_ONE_BY_ONE:
            _ = parts._index
        return parts


def parts_of(secrets: Iterable[str]) -> Parts:
    """
    The texts to hide for these secrets, longest first.

    Each one unchanged, on one line, and line by line, as logs show it; and as part of a URL, of HTML, of JSON, or in base64.
    """
    return secrets.parts if isinstance(secrets, Secrets) else _parts_of(tuple(secrets))


@lru_cache(maxsize=64)
def _parts_of(secrets: tuple[str, ...]) -> Parts:
    wholes: set[str] = set()
    lines: set[str] = set()
    for secret in secrets:
        split = secret.splitlines()
        (wholes if len(split) <= MAX_LINES_IN_BASE64 else lines).update(line.strip() for line in split)
        wholes |= {secret.strip(), on_one_line(secret).strip()}
    plain = {text for text in wholes | lines if len(text) >= MIN_SECRET_CHARACTERS}
    forms = {form for text in plain for form in _escaped(text)}
    forms.update(form for text in plain & wholes for form in _in_base64(text))
    return Parts(sorted(plain | forms, key=len, reverse=True))


def _escaped(text: str) -> Iterator[str]:
    if _PLAIN.fullmatch(text):
        return
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", r"\/")
        yield escaped.translate(_GO_JSON)
        yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]  # JSON within a text of JSON
    backslashes = text.replace("\\", r"\\")
    yield backslashes  # as Python shows a text, such as in a traceback
    yield backslashes.replace("'", r"\'")
    for table in _HTML:
        yield text.translate(table)
    for quoted in (quote(text, safe="", errors="replace"), quote(text, errors="replace"), quote_plus(text, errors="replace")):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), quoted)


def _in_base64(text: str) -> Iterator[str]:
    # Base64 of a longer text shows the secret in one of three ways, by the number of bytes before it. What depends on its neighbours is
    # left out.
    data = text.encode(errors="replace")
    for before in range(3):
        whole = b64encode(b"\0" * before + data).decode()
        core = whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        if len(core) >= MIN_ENCODED_CHARACTERS:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def nothing_of(secret: str) -> str:
    """What is shown in the place of a secret."""
    return HIDDEN


def credential_was_here(secret: str) -> str:
    """What is put in the place of the connection's credential in an answer: an output that holds it is not whole."""
    return CREDENTIAL


def stand_in(secret: str) -> str:
    """
    A text of the same shape in the place of a secret: an audit has to find it where it is written, and must not keep it.

    The vendor's prefix stays, such as ``tc_ws_sk_``.
    """
    prefix = match[0] if (match := _VENDOR_PREFIX.match(secret)) else ""
    digest = hashlib.sha512(secret.encode(errors="replace")).digest()
    shaped = prefix
    for number, character in enumerate(secret[len(prefix) :]):
        letters = next((letters for letters in _SHAPES if character in letters), None)
        shaped += character if letters is None else letters[digest[number % len(digest)] % len(letters)]
    return shaped


def hidden(text: str, parts: Sequence[str], put: Callable[[str], str] = nothing_of) -> str:
    """The text without these parts, see :func:`parts_of`. ``put`` says what is put in their place."""
    for part in _within(parts, text):
        text = text.replace(part, put(part))
    return text


def _within(parts: Sequence[str], text: str) -> Sequence[str]:
    return parts.within(text) if isinstance(parts, Parts) else [part for part in parts if part in text]


def hidden_in(value: Any, parts: Sequence[str], put: Callable[[str], str] = nothing_of) -> Any:
    """A JSON value without these parts; the names of an API's own fields stay."""
    if isinstance(value, str):
        return hidden(value, parts, put)
    if isinstance(value, dict):
        return {key if _is_field(key) else hidden(key, parts, put): hidden_in(item, parts, put) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden_in(item, parts, put) for item in value]
    return value


def contains(value: Any, parts: Sequence[str]) -> bool:
    """Whether a JSON value has one of these parts in it, as a number as well."""
    if isinstance(value, dict):
        return any(contains(item, parts) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return any(contains(item, parts) for item in value)
    if isinstance(value, bool) or value is None:
        return False
    return bool(_within(parts, str(value)))


def hidden_in_body(body: bytearray, parts: Sequence[str], put: Callable[[str], str] = nothing_of) -> bytes | bytearray:
    """The body of a JSON answer without these parts. The same object if it has none, which a fast search tells."""
    if not any(part.encode(errors="replace") in body for part in parts) and not _ESCAPED.search(body):
        return body
    try:
        value = json.loads(body)
        without = hidden_in(value, parts, put)
        return body if without == value else json.dumps(without).encode()
    except (ValueError, RecursionError):  # what can't be read is refused by the caller; its message may quote it
        whole = bytes(body)
        for part in parts:
            whole = whole.replace(part.encode(errors="replace"), HIDDEN.encode())
        return whole


def hide_in(snapshot: Snapshot, secrets: Iterable[str]) -> Snapshot:
    """
    Hide secrets in the texts of a snapshot. Changes it.

    Not in ref and status, which the mechanism compares: who shows a status hides secrets in it; and not in outputs, which are left out.
    """
    if not (parts := parts_of(secrets)):
        return snapshot
    for name in ("url", "error", "actor", "system_fields", "waiting_for", "partial", "outputs_omitted", "log_tail"):
        setattr(snapshot, name, hidden_in(getattr(snapshot, name), parts))
    for step in snapshot.steps:
        for name in ("name", "type", "url", "error", "actor"):
            setattr(step, name, hidden_in(getattr(step, name), parts))
    return snapshot


def hide_in_error(error: ExecutionApiError, secrets: Iterable[str]) -> None:
    """Hide secrets in an error: in its message, and in what it says of the answer. Changes it."""
    if parts := parts_of(secrets):
        error.args = tuple(hidden_in(argument, parts) for argument in error.args)
        for name in ("reason", "request_id", "url"):
            if isinstance(text := getattr(error, name, None), str):
                setattr(error, name, hidden(text, parts))


def hide_in_result(result: Any, secrets: Iterable[str]) -> None:
    """Hide secrets in the snapshots that a flow returns: one, or several in a list or a tuple."""
    if isinstance(result, Snapshot):
        hide_in(result, secrets)
    elif secrets and isinstance(result, (list, tuple)):
        for item in result:
            hide_in_result(item, secrets)


def _is_field(key: Any) -> bool:
    return not isinstance(key, str) or bool(_FIELD.fullmatch(key))
