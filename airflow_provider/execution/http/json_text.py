"""Reads JSON that may be damaged: what can't be a character or a number is replaced, everything else arrives."""

from __future__ import annotations

import codecs
import json
import re
import sys
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NUL = b"\\u0000"
_BAD_ESCAPES = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\u0000|"
    r"\\u[0-9a-fA-F]{1,3}(?![0-9a-fA-F])|(\\(?![\"\\/bfnrt]|u[0-9a-fA-F])))"
)
"""
Escapes of surrogates, in pairs or alone, of NUL, torn ones, and backslashes that begin no escape of JSON. The first group keeps the parity
of the backslashes before them.
"""
_MAX_DIGITS = min(4_300, getattr(sys, "get_int_max_str_digits", int)() or 4_300)
"""Maximum number of digits of a number outside strings: Python and the parser refuse more."""
_DIGITS = bytes(b"0"[0] if byte in b"0123456789" else b" "[0] for byte in range(256))
"""Translation of bytes to "0" for a digit and a blank for all others."""
_PIECE = 64 * 1024
_LONG_DIGITS = re.compile(rf"(?<![0-9])[0-9]{{{_MAX_DIGITS + 1}}}")
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)', re.DOTALL)
_PLAIN_CHARSET = re.compile("iso8859|cp[0-9]|koi8|gb|big5|shift_jis|euc_|utf-16|utf-32")
"""Names of codecs that take linear time."""
_RAW_CONTROL = re.compile("[\x00-\x1f]")


def read_json(body: bytes | bytearray | str) -> Any:
    """
    Read a JSON text, damaged or not.

    :returns: the value. No text in it has a lone surrogate or a NUL, so that it can be stored anywhere.
    :raises ValueError: if it is not JSON, or nested too deep to be handed on (200 levels).
    """
    data = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
    if not has_nul(data):
        with suppress(ValueError):
            return from_json(data)
    return from_json(repaired(data))


def has_nul(body: bytes | bytearray) -> bool:
    """Whether a body may hold an escaped NUL, which is JSON but which a database refuses."""
    return _NUL in body


def has_long_number(body: bytes | bytearray) -> bool:
    """Whether a body may hold a whole number that is too long to be read. Many digits in a string count as well."""
    long = b"0" * (_MAX_DIGITS + 1)
    return any(long in body[start : start + _PIECE + len(long)].translate(_DIGITS) for start in range(0, len(body), _PIECE))


def repaired(body: bytes | bytearray, charset: str | None = None) -> bytes:
    """
    A JSON text in plain UTF-8, with what can't be a character replaced.

    Replaced are torn bytes, torn escapes, lone surrogates and NULs. Control characters within a string are escaped, and so are backslashes
    that begin no escape, such as those of a path of Windows. A number too long to be read becomes text. A byte order mark is dropped.

    :param charset: what the header says; it decides only where the bytes say nothing else.
    """
    text = _decoded(bytes(body), charset).removeprefix("\ufeff")
    text = _BAD_ESCAPES.sub(lambda found: found[1] + (found[2] or (r"\\" if found[3] else REPLACEMENT)), text)
    if _RAW_CONTROL.search(text):
        text = _STRING.sub(lambda string: _RAW_CONTROL.sub(_escaped, string[0]), text)
    if _LONG_DIGITS.search(text):
        text = _STRING_OR_NUMBER.sub(_without_long_number, text)
    return text.encode(errors="replace")


def _decoded(body: bytes, charset: str | None) -> str:
    if not body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" not in body[:4]:
        with suppress(UnicodeDecodeError):
            return body.decode()
        with suppress(LookupError, ValueError):
            if charset and _PLAIN_CHARSET.match(codecs.lookup(charset).name):
                return body.decode(charset, "replace")
        return body.decode(errors="replace")
    return body.decode(json.detect_encoding(body), "replace")


def _escaped(found: re.Match[str]) -> str:
    return REPLACEMENT if found[0] == "\0" else f"\\u{ord(found[0]):04x}"


def _without_long_number(found: re.Match[str]) -> str:
    return f'"{found[0]}"' if found[0][0] != '"' and _LONG_DIGITS.search(found[0]) else found[0]
