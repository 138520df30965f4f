"""
Write a whole log to a file, cleaned block by block, which is ten times as fast as line by line.

Fast searches in a block find the lines that may contain something to clean, mostly none. Only these go through
:func:`~airflow_provider.execution.results.redaction.clean`, with the same result. With hyperscan (extra ``logs``), one scan for all
patterns tells whether a block needs cleaning at all.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from airflow_provider import _token_shapes
from airflow_provider._text import uncoloured
from airflow_provider.execution.model.snapshot import LogLine
from airflow_provider.execution.results.known_secrets import parts_of
from airflow_provider.execution.results.passwords import ADDRESS, GO, NAME_PARTS, NAMED
from airflow_provider.execution.results.redaction import SECRET_VALUE, clean, cleaned, without_keys

_TOKEN = f"{string.ascii_letters}{string.digits}_-".encode() + bytes(range(0x80, 0x100))
_CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n"))


def _folding() -> bytes:
    table = bytearray(b" " * 256)
    for kind, characters in {b"a": _TOKEN, b"\0": _CONTROL, b".": b".", b":": b":"}.items():
        for character in characters:
            table[character] = kind[0]
    return bytes(table)


_FOLDED = _folding()
"""Maps all characters of one kind to one byte, so that a few searches find all shapes."""
_SHAPES = (
    b"a" * 15,  # no secret with a known shape is shorter,
    b"a" * 11 + b"." + b"a" * 11,  # except the parts of a JSON web token
    b"::",
)
_SIGNS = re.compile("|".join([*(part for _, _, part in _token_shapes.HIDDEN if part), "p::", "P::"]).encode())
"""Every secret with a known shape, and every group mark, contains one of these. None begins like a hash: most long words are hashes."""
_ADDRESS = re.compile(ADDRESS.replace("(?=@)", "@").encode())
"""An address with a password, or what looks like one."""
_NAMED = re.compile(NAMED.encode(), re.IGNORECASE)
_GO = re.compile(GO.encode())
_UNUSUAL = re.compile(rb"\xc2[\x80-\x9f]|\xe2(?:\x80[\x8e\x8f\xa8-\xae]|\x81[\xa6-\xa9])")
"""Control characters and direction marks beyond ASCII, in UTF-8."""
_PIECE_BYTES = 128 * 1024
"""Size of a piece that is searched at once: it stays in the processor's cache from search to search."""
_KEY = b"PRIVATE KEY-----"
_MAX_PATTERN_BYTES = 256
"""Maximum length of a secret in the scan: its beginning is enough to make a block suspect."""


class LogFile:
    """
    Writes remote text to a file, each line with its step in front.

    :param file: a file that is open for writing bytes.
    :param secrets: values to hide besides those that are secret by their shape.
    """

    def __init__(self, file: Any, secrets: Iterable[str] = ()) -> None:
        self._file = file
        self._secrets = tuple(secrets)
        self._hidden = parts_of(self._secrets)
        self._keys: dict[str, int] = {}
        self._is_suspect = _scanner(self._hidden)

    def write(self, step: str, block: bytes | bytearray) -> None:
        """
        Write a block of whole lines.

        :param step: name of the step that wrote the lines.
        :param block: the lines, unchanged, each with its line feed.
        """
        label = f"[{clean(step)}] ".encode()
        text = memoryview(block)
        self._file.write(label if block else b"")
        start = 0
        while start < len(block):
            end = block.rfind(b"\n", start, start + _PIECE_BYTES) + 1 or block.index(b"\n", start) + 1
            labelled = memoryview(self._cleaned(step, bytes(text[start:end])).replace(b"\n", b"\n" + label))
            self._file.write(labelled if end < len(block) else labelled[: -len(label)])  # the label of the next line is already written
            start = end

    def _cleaned(self, step: str, block: bytes) -> bytes:
        in_key = bool(self._keys.get(step))
        if not in_key and block.isascii() and not self._is_suspect(block):
            return block
        if b"\r" in block:
            block = re.sub(rb"(?<!\r)\r+\n", b"\n", block)
        ascii_only = block.isascii()
        if not ascii_only:
            block = block.decode(errors="replace").encode()
        plain = block
        if b"\x1b" in block or (not ascii_only and b"\xc2\x9b" in block):
            plain = uncoloured(block.decode()).encode()
        if not in_key and not self._is_suspect(plain):
            return plain
        if in_key or _KEY in plain:
            lines = (LogLine(step, line) for line in block.decode().split("\n")[:-1])
            return "".join(f"{cleaned(uncoloured(line.text), self._hidden)}\n" for line in without_keys(lines, self._keys)).encode()
        suspects = dict(self._suspects(plain, ascii_only))
        if not suspects:
            return plain
        pieces, done = [], 0
        for start in sorted(suspects):
            end = suspects[start]
            pieces += [plain[done:start], cleaned(plain[start:end].decode(), self._hidden).encode()]
            done = end
        return b"".join([*pieces, plain[done:]])

    def _suspects(self, text: bytes, ascii_only: bool) -> Iterator[tuple[int, int]]:
        """Start and end of each line that may need cleaning."""
        folded = text.translate(_FOLDED)
        for shape in _SHAPES:
            for start, end in _lines_with(shape, folded, text):
                if _SIGNS.search(text, start, end):
                    yield start, end
        yield from _lines_with(b"\0", folded, text)
        for secret in self._hidden:
            yield from _lines_with(secret.encode(errors="replace"), text, text)
        lowered = text.lower()
        for name in NAME_PARTS:
            yield from (line for line in _lines_with(name.encode(), lowered, text) if _NAMED.search(text, *line))
        for pattern in (_ADDRESS, _GO) if ascii_only else (_ADDRESS, _GO, _UNUSUAL):
            for match in pattern.finditer(text):
                yield _line_at(match.start(), text)


def _scanner(hidden: Sequence[str]) -> Callable[[bytes], bool]:
    """A function that says whether a text may need cleaning. With hyperscan it says so only for few texts that do not."""
    try:
        import hyperscan
    except ImportError:
        return lambda text: True
    once = hyperscan.HS_FLAG_SINGLEMATCH
    texts = [_KEY, *(secret.encode(errors="replace")[:_MAX_PATTERN_BYTES] for secret in hidden)]
    patterns = [
        rb"[\x00-\x08\x0b-\x1f\x7f]",
        b"[pP]::",
        _UNUSUAL.pattern,
        _ADDRESS.pattern,
        _GO.pattern,
        *("".join(f"\\x{byte:02x}" for byte in text).encode() for text in texts),
    ]
    scanned = [(pattern, once) for pattern in patterns]
    # hyperscan leaves out what it can't express, so this pattern matches too much
    scanned.append((SECRET_VALUE.pattern.encode(), once | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_PREFILTER))
    scanned.append((_NAMED.pattern, once | hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_PREFILTER))
    expressions, flags = [pattern for pattern, _ in scanned], [flag for _, flag in scanned]
    database = hyperscan.Database()
    try:
        database.compile(expressions=expressions, ids=range(len(scanned)), elements=len(scanned), flags=flags)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.error:
        return lambda text: True

    def is_suspect(text: bytes) -> bool:
        matches: list[int] = []
        database.scan(text, match_event_handler=lambda number, *position: matches.append(number))
        return bool(matches)

    return is_suspect


def _lines_with(part: bytes, searched: bytes, text: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each line of ``text`` whose counterpart in ``searched`` contains ``part``."""
    position = searched.find(part)
    while position >= 0:
        start, end = _line_at(position, text)
        yield start, end
        position = searched.find(part, end)


def _line_at(position: int, text: bytes) -> tuple[int, int]:
    return text.rfind(b"\n", 0, position) + 1, text.find(b"\n", position)
