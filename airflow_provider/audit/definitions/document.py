"""
YAML (and so JSON) with the place of each value.

It is YAML 1.2, in which ``on`` is a word. Tags are not followed. Limits bound what a file can cost; a file beyond them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from airflow_provider.audit.facts.origin import Key, Place
from airflow_provider.errors import ConfigurationError

MAX_CHARACTERS = 1_000_000
MAX_VALUES = 100_000
"""Maximum number of values of a file, aliases counted wherever they are used."""
MAX_DEPTH = 60
_PLAIN = "tag:yaml.org,2002:"
_ESCAPED = re.compile(r"\\(.)")


@dataclass
class Document:
    """
    A file of one or several YAML documents.

    :param data: of each document, as plain data. A scalar with a tag of its own (``!name``) is the text ``!name`` and its value.
    :param places: of each value; keys begin with the number of the document.
    :param written: how scalars that are no text are written, such as ``8.10``.
    :param names: the line of the name of each field, which may be above its value.
    :param repeated: names that a mapping has twice, with the lines of both. The last counts, as in other readers.
    """

    name: str
    lines: list[str]
    data: list[Any] = field(default_factory=list)
    places: dict[Key, Place] = field(default_factory=dict)
    written: dict[Key, str] = field(default_factory=dict)
    repeated: dict[tuple[int, int], str] = field(default_factory=dict)
    names: dict[Key, int] = field(default_factory=dict)

    def move_all(self, keys: Sequence[Key], to: Key) -> None:
        """Know values by their position in a list at ``to`` instead."""
        moved = [(self.places.get(key), self.written.get(key)) for key in keys]
        for position, (place, written) in enumerate(moved):
            at = (*to, position)
            if place is not None:
                self.places[at] = place
            if written is not None:
                self.written[at] = written
            else:
                self.written.pop(at, None)

    def move(self, key: Key, to: Key) -> None:
        """Also know a value by another key, since the API has it there."""
        if key in self.places:
            self.places[to] = self.places[key]
        if key in self.written:
            self.written[to] = self.written[key]


def read_document(text: str, name: str) -> Document:
    """
    Read a text.

    :param name: of the file, for errors.
    :raises ConfigurationError: if it is not YAML, or beyond the limits; it names the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigurationError(f"{name} has more than {MAX_CHARACTERS:,} characters, so it was not read.")
    document = Document(name, text.splitlines())
    reader = YAML(typ="safe", pure=True)
    try:
        for number, node in enumerate(reader.compose_all(text)):
            document.data.append(_Builder(document, text).build(node, (number,)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{name}{where} is not valid YAML: {error.problem or error.context or 'malformed'}.") from None
    except YAMLError as error:
        raise ConfigurationError(f"{name} is not valid YAML: {str(error).splitlines()[0][:200]}.") from None
    except RecursionError:
        raise ConfigurationError(f"{name} is nested too deeply to be read.") from None
    except ValueError as error:
        raise ConfigurationError(f"{name} is not valid YAML: {error}.") from None
    return document


class _Builder:
    """Builds the plain data of one document."""

    def __init__(self, document: Document, text: str) -> None:
        self._document, self._text, self._count = document, text, 0

    def build(self, node: Node | None, key: Key) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise ConfigurationError(f"{self._document.name} has more than {MAX_VALUES:,} values, so it was not read.")
        if len(key) > MAX_DEPTH:
            raise ConfigurationError(f"{self._document.name} is nested too deeply to be read.")
        if node is None:
            return None
        mark = node.start_mark
        text_lines = _text_lines(node, self._document.lines) if isinstance(node, ScalarNode) else ()
        self._document.places[key] = Place(mark.line + 1, mark.column + 1, text_lines)
        if isinstance(node, MappingNode):
            return self._mapping(node, key)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*key, number)) for number, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in self._pairs(node, 0):
            if isinstance(name, ScalarNode):
                place: Key = (*key, str(name.value))
                self._document.names[place] = name.start_mark.line + 1
                made[str(name.value)] = self.build(value, place)
        return made

    def _pairs(self, node: MappingNode, depth: int) -> Iterator[tuple[Node, Node]]:
        """Merged mappings (``<<``) first, so that the mapping's own values win."""
        if depth > MAX_DEPTH:
            raise ConfigurationError(f"{self._document.name} is nested too deeply to be read.")
        own = []
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == "<<" and name.style is None:
                for merged in value.value if isinstance(value, SequenceNode) else [value]:
                    if isinstance(merged, MappingNode):
                        yield from self._pairs(merged, depth + 1)
            else:
                own.append((name, value))
        lines: dict[str, int] = {}
        for name, value in own:
            if isinstance(name, ScalarNode):
                line, text = name.start_mark.line + 1, str(name.value)
                if text in lines:
                    self._document.repeated[lines[text], line] = text
                lines[text] = line
            yield name, value

    def _scalar(self, node: Node, key: Key) -> Any:
        text, tag = str(node.value), str(node.tag)
        if not tag.startswith(_PLAIN):
            return f"{tag} {text}".strip()
        kind = tag.removeprefix(_PLAIN)
        if kind == "null":
            return None
        if kind == "bool":
            self._document.written[key] = text
            return text.lower() in ("true", "yes", "on")
        if kind in ("int", "float"):
            self._document.written[key] = text
            try:
                return int(text.replace("_", "")) if kind == "int" else float(text.replace("_", ""))
            except ValueError:  # such as 0o17 or .inf
                return text
        return text


def _text_lines(node: ScalarNode, lines: Sequence[str]) -> Sequence[int]:
    """
    Where each line of a text begins in the file; nothing for a text on one line.

    YAML makes one line of several, except in ``|``: that begins with the first of them.
    """
    first, last = node.start_mark.line + 1, node.end_mark.line + 1
    if first == last:
        return ()
    behind = last + 1 if node.end_mark.column else last
    if node.style == "|":
        return range(first + 1, behind)
    if node.style == ">":
        first += 1
        own = list(lines[first - 1 : behind - 1])
        indent = min((len(line) - len(line.lstrip(" ")) for line in own if line.strip()), default=0)
    else:
        own = [*lines[first - 1 : last - 1], lines[last - 1][: node.end_mark.column]]
        own[0] = own[0][node.start_mark.column :]
    made: list[int] = []
    empty, before = 0, False
    for number, line in enumerate(own, first):
        if not line.strip():
            empty += 1
            continue
        deeper = node.style == ">" and line[indent].isspace()  # such lines are kept apart from their neighbours
        begun = empty + (not made or deeper or before)
        written = _ESCAPED.findall(line).count("n") if node.style == '"' else 0
        made += [number] * (begun + written)
        empty, before = 0, deeper
    return made
