"""Files of settings and waivers, TOML or YAML. Errors name file, line and key."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from airflow_provider.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_LINES = 100_000
"""Number of keys whose lines are known."""
M = TypeVar("M", bound=BaseModel)
Key = tuple[str | int, ...]


def read(path: str | Path, model: type[M]) -> M:
    """
    Read a file as a model. ``.toml`` is TOML, ``.yaml``, ``.yml`` and ``.json`` are YAML.

    :raises ConfigurationError: if it can't be read, is malformed, or does not match the model.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} can't be read: {error.__class__.__name__}.") from error
    return parse(text, model, str(file), toml=file.suffix.lower() == ".toml")


def parse(text: str, model: type[M], name: str, *, toml: bool) -> M:
    """
    Read a text as a model.

    :param name: used in errors.
    :raises ConfigurationError: see :func:`read`.
    """
    try:
        data = tomllib.loads(text) if toml else yaml.safe_load(text)
        yaml_lines = {} if toml else _yaml_lines(text, name)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is not valid TOML: {error}.") from error
    except RecursionError:
        raise ConfigurationError(f"{name} is nested too deeply.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{name}{where} is not valid YAML: {getattr(error, 'problem', None) or 'malformed'}.") from error
    if not isinstance(data, Mapping) and data is not None:
        raise ConfigurationError(f"{name} must contain keys and values.")
    try:
        return model.model_validate(data or {})
    except ValidationError as error:
        lines = _toml_lines(text) if toml else yaml_lines
        errors = [_told(name, lines, problem) for problem in error.errors(include_url=False, include_input=False, include_context=False)]
        raise ConfigurationError("\n".join(errors)) from None


def _told(name: str, lines: Mapping[Key, int], problem: Mapping[str, Any]) -> str:
    place = _place(problem)
    line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), 1)
    return f"{name}, line {line}, {described(problem)}"


def _place(problem: Mapping[str, Any]) -> Key:
    return tuple(part for part in problem["loc"] if part != "[key]")  # how pydantic marks an invalid key


def validated(kind: type[M], values: Mapping[str, Any], name: str) -> M:
    """
    Make a model of values in memory.

    :param name: of the argument.
    :raises ConfigurationError: naming the key.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise ConfigurationError(f"{name}: {described(first)}") from None


def described(problem: Mapping[str, Any]) -> str:
    """Place and message of a pydantic error."""
    text = "unknown key" if problem["type"] == "extra_forbidden" else str(problem["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in _place(problem)) or 'the document'}: {text}."


def _yaml_lines(text: str, name: str) -> dict[Key, int]:
    """
    Line of each key.

    :raises ConfigurationError: if a key is there twice: only the last would count.
    """
    lines: dict[Key, int] = {}

    def walk(node: yaml.Node | None, at: Key) -> None:
        if len(lines) > MAX_LINES:  # aliases can make a small file endless
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                place = (*at, str(key.value))
                if place in lines:
                    raise ConfigurationError(
                        f"{name}, line {key.start_mark.line + 1}, {'.'.join(map(str, place))}: the key is there twice."
                    )
                lines[place] = key.start_mark.line + 1
                walk(value, place)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                place = (*at, number)
                lines[place] = item.start_mark.line + 1
                walk(item, place)

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return lines


def _toml_lines(text: str) -> dict[Key, int]:
    """Line of each key. TOML parsers do not keep positions, but the grammar does."""
    import tree_sitter
    import tree_sitter_toml

    lines: dict[Key, int] = {}
    tables: dict[Key, int] = {}

    def names(node: tree_sitter.Node) -> Key:
        if node.type == "dotted_key":
            return tuple(name for child in node.named_children for name in names(child))
        raw = (node.text or b"").decode()
        return (next(iter(tomllib.loads(f"{raw} = 1"))),)

    def into(at: Key) -> Key:
        """Append the index of the latest table to the name of an array of tables."""
        place: Key = ()
        for part in at:
            place = (*place, part)
            if place in tables:
                place = (*place, tables[place])
        return place

    def pairs(node: tree_sitter.Node, at: Key) -> None:
        for child in node.named_children:
            if child.type == "pair":
                key, value = child.named_children[0], child.named_children[-1]
                place = at
                for name in names(key):
                    place = (*place, name)
                    lines.setdefault(place, child.start_point[0] + 1)
                values(value, place)

    def values(node: tree_sitter.Node, at: Key) -> None:
        if node.type == "inline_table":
            pairs(node, at)
        elif node.type == "array":
            for number, item in enumerate(child for child in node.named_children if child.type != "comment"):
                place = (*at, number)
                lines[place] = item.start_point[0] + 1
                values(item, place)

    root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language())).parse(text.encode()).root_node
    pairs(root, ())
    for table in root.named_children:
        if table.type in ("table", "table_array_element"):
            at = names(table.named_children[0])
            if table.type == "table_array_element":
                place = (*into(at[:-1]), at[-1])
                tables[place] = tables.get(place, -1) + 1
                lines.setdefault(place, table.start_point[0] + 1)
            place = into(at)
            lines.setdefault(place, table.start_point[0] + 1)
            pairs(table, place)
    return lines
