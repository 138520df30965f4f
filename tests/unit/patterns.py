"""Every regular expression of the package, how it is used, and text that it would be slow on."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from time import thread_time
from typing import Any, NamedTuple

try:
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse as parser

PACKAGE = Path(__file__).parents[2] / "airflow_provider"
ANCHORED = frozenset({"match", "fullmatch"})
ANYWHERE = frozenset({"search", "findall", "finditer", "sub", "subn", "split", "scanner"})
LOCALS = {
    "pattern": "a*[b]?",  # audit.engine.waivers: made by fnmatch
    "plain": "PASSWORD",
    "password": "hunter2",
    "path": "/api/.*",  # the emulator's faults and ledger: patterns of tests
    "path_re": "/api/.*",
}
"""What stands for a local variable in a pattern that a function makes."""
COMPILED_TO_MATCH = frozenset({"audit.engine.waivers"})
"""Modules with a function that compiles a pattern of which only ``match`` is called."""
SHORT, LONG = 500, 4_000
CHEAP = 0.002
"""Seconds of processor time below which a search of the long text can't be anything but linear."""
MAX_ATTACKS = 60
"""Maximum number of texts that are made for one pattern."""
TOO_STEEP = 24
"""Eight times the text takes eight times as long; what is quadratic takes 64 times as long."""


class Pattern(NamedTuple):
    """A pattern, where it stands, and the methods that are called on it."""

    place: str
    pattern: re.Pattern[str] | re.Pattern[bytes]
    anchored_only: bool


@cache
def patterns() -> dict[str, Pattern]:
    """All patterns, by place. Those of a constant, in a list or an object, and those of a call within a function."""
    found: dict[str, Pattern] = {}
    uses = _uses()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "__main__.py" and path.parent.name == "emulator":
            continue
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        short = ".".join(parts[1:])
        for name, value in vars(module).items():
            for number, pattern in enumerate(_patterns_in(value)):
                methods = (
                    uses.get(f"{path}:{name}" if name.startswith("_") else name, ANYWHERE) if isinstance(value, re.Pattern) else ANYWHERE
                )
                if not any(pattern is other.pattern for other in found.values()):
                    place = f"{short}:{name}" + (f"[{number}]" if value is not pattern else "")
                    found[place] = Pattern(place, pattern, methods <= ANCHORED)
        constants = {item.pattern.pattern for item in found.values()}
        for call in _calls(ast.parse(path.read_text())):
            pattern = _compiled(call, vars(module))
            if pattern.pattern in constants and call.func.attr == "compile":  # type: ignore[attr-defined]
                continue
            place = f"{short}:{call.lineno}:{call.col_offset}"
            anchored = call.func.attr in ANCHORED or short in COMPILED_TO_MATCH  # type: ignore[attr-defined]
            found[place] = Pattern(place, pattern, anchored)
    return found


def _patterns_in(value: Any, seen: frozenset[int] = frozenset()) -> Iterator[Any]:
    if isinstance(value, re.Pattern):
        yield value
    elif id(value) in seen or isinstance(value, (str, bytes, type)):
        return
    elif isinstance(value, dict):
        for item in (*value.keys(), *value.values()):
            yield from _patterns_in(item, seen | {id(value)})
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _patterns_in(item, seen | {id(value)})
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _patterns_in(getattr(value, name, None), seen | {id(value)})


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls of functions of ``re`` that take a pattern, except those in a loop over patterns, which constants hold."""
    loops = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.GeneratorExp, ast.DictComp, ast.ListComp))
        for inner in ast.walk(node)
        if isinstance(inner, ast.Call) and isinstance(inner.args[0] if inner.args else None, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", None) == "re"):
            continue
        if node.func.attr in {*ANCHORED, *ANYWHERE} or (node.func.attr == "compile" and id(node) not in loops):
            yield node


def _compiled(call: ast.Call, names: dict[str, Any]) -> Any:
    takes = {"sub": 4, "subn": 4, "split": 3, "compile": 1}.get(call.func.attr, 2)  # type: ignore[attr-defined]
    flags = [keyword.value for keyword in call.keywords if keyword.arg == "flags"] or call.args[takes : takes + 1]
    values = [_value(node, names) for node in (call.args[0], *flags)]
    return re.compile(*values)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    known = {**names, "kind": "[a-z]", **LOCALS}
    if isinstance(node, ast.Name) and node.id not in names and node.id not in LOCALS and node.id != "kind":
        raise AssertionError(f"LOCALS says nothing about {node.id}")
    return eval(compile(ast.Expression(node), "pattern", "eval"), known)  # what the package itself says


def _uses() -> dict[str, frozenset[str]]:
    """Name of a constant, private ones with their module, to the methods of patterns that are called on it."""
    uses: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ANCHORED | ANYWHERE:
                name = getattr(node.value, "id", getattr(node.value, "attr", None))
                if name:
                    uses.setdefault(f"{path}:{name}" if name.startswith("_") else name, set()).add(node.attr)
    return {name: frozenset(methods) for name, methods in uses.items()}


FAMILIES: dict[str, Callable[[int], str]] = {
    "blanks": lambda n: " " * n,
    "blanks and something": lambda n: " " * n + "!",
    "something and blanks": lambda n: "a" + " " * n + "!",
    "tabs": lambda n: "\t" * n + "x",
    "line ends": lambda n: "\n" * n + "!",
    "carriage returns": lambda n: "\r" * n + "x",
    "blanks and line ends": lambda n: " \n" * (n // 2) + "!",
    "one letter": lambda n: "a" * n,
    "letters and something": lambda n: "a" * n + "!",
    "capitals": lambda n: "A" * n + "!",
    "digits": lambda n: "1" * n + "x",
    "words": lambda n: "secret " * (n // 7),
    "dashes": lambda n: "-" * n,
    "dots": lambda n: "." * n + "x",
    "slashes": lambda n: "/" * n + "!",
    "colons": lambda n: ":" * n,
    "equals": lambda n: "a=" * (n // 2),
    "quotes": lambda n: "\"'" * (n // 2),
    "brackets": lambda n: "{{" * (n // 2),
    "closing brackets": lambda n: "}}" * (n // 2),
    "base64": lambda n: "Ab1+" * (n // 4) + "=",
    "a key without an end": lambda n: "-----BEGIN PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA0m\n" * (n // 19),
    "begins of keys": lambda n: "-----BEGIN PRIVATE KEY-----" * (n // 27),
    "begins of a begin": lambda n: "-----BEGIN A" * (n // 12),
    "a begin with many words": lambda n: "-----BEGIN " + "A " * (n // 2),
    "tokens": lambda n: ("eyJ" + "a" * 9 + ".") * (n // 13),
    "half a web token": lambda n: "eyJ" + "a" * n + ".",
    "escape sequences": lambda n: "\x1b[" * (n // 2),
    "an escape sequence without an end": lambda n: "\x1b]" + "a" * n,
    "addresses": lambda n: "https://a:b" * (n // 11),
    "logins": lambda n: "a@" * (n // 2) + "!",
    "host names": lambda n: "a." * (n // 2) + "!",
    "dashed words": lambda n: "a-" * (n // 2) + "!",
    "words with underscores": lambda n: "A_" * (n // 2) + "!",
    "not ASCII": lambda n: "ż" * n + "!",
}
"""Name to a maker of text of about so many characters."""


def attacks(pattern: re.Pattern[Any]) -> Iterator[tuple[str, Callable[[int], str]]]:
    """Text made for one pattern: up to each of its unlimited repeats, what repeats, and something that does not fit."""
    seen = set()
    for before, body in _repeats(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG), ""):
        for pump in _samples(body)[:2]:
            for tail, once in (("\x00", True), ("a \n!", True), ("", False)):
                key = before, pump, tail, once
                if pump and key not in seen and len(seen) < MAX_ATTACKS:
                    seen.add(key)
                    yield f"{pump!r} {'once' if once else 'again and again'} behind {before[-60:]!r}", _maker(*key)


def _maker(before: str, pump: str, tail: str, once: bool) -> Callable[[int], str]:
    if once:
        return lambda n: before + pump * (n // len(pump)) + tail
    return lambda n: (before + pump + pump) * (n // len(before + pump + pump)) + tail


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, Any]]:
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _, most, body = argument
            if most is parser.MAXREPEAT or most > 1_000:
                yield before, body
            yield from _repeats(body, before)
        elif name == "BRANCH":
            for alternative in argument[1]:
                yield from _repeats(alternative, before)
        elif name == "SUBPATTERN":
            yield from _repeats(argument[3], before)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _repeats(argument[1], before)
        elif name == "ATOMIC_GROUP":
            yield from _repeats(argument, before)
        before += _samples([(operation, argument)])[0]


def _samples(tree: Any) -> list[str]:
    """Some short texts that a part of a pattern matches."""
    texts = [""]
    for operation, argument in tree:
        name = str(operation)
        options = [""]
        if name == "LITERAL":
            options = [chr(argument)]
        elif name == "NOT_LITERAL":
            options = [character for character in "a! " if ord(character) != argument]
        elif name == "ANY":
            options = ["a", " "]
        elif name == "IN":
            options = [character for character in "aA1 \n-_./=:@!\"'{,+\x1b[" if _is_in(character, argument)][:4] or [""]
        elif name == "BRANCH":
            options = [sample for alternative in argument[1] for sample in _samples(alternative)[:1]]
        elif name == "SUBPATTERN":
            options = _samples(argument[3])
        elif name == "ATOMIC_GROUP":
            options = _samples(argument)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, _, body = argument
            options = [text * least for text in _samples(body)]
        texts = [text + option for text in texts for option in options][:12]
    return texts


def _is_in(character: str, items: Any) -> bool:
    negated = str(items[0][0]) == "NEGATE"
    return negated != any(_is_one(character, str(name), argument) for name, argument in items)


def _is_one(character: str, name: str, argument: Any) -> bool:
    if name == "LITERAL":
        return ord(character) == argument
    if name == "RANGE":
        return bool(argument[0] <= ord(character) <= argument[1])
    if name == "CATEGORY":
        kinds = {"DIGIT": character.isdigit(), "SPACE": character.isspace(), "WORD": character.isalnum() or character == "_"}
        _, _, kind = str(argument).partition("CATEGORY_")
        return not kinds[kind.removeprefix("NOT_")] if kind.startswith("NOT_") else kinds[kind]
    return False


def steepness(pattern: Pattern, make: Callable[[int], str]) -> float:
    """How many times longer the pattern takes for eight times the text, in processor time; 0 if it takes next to nothing."""
    compiled: Any = pattern.pattern
    is_bytes = isinstance(compiled.pattern, bytes)

    def taken(characters: int) -> float:
        text: Any = make(characters)
        text = text.encode(errors="replace") if is_bytes else text
        start = thread_time()
        compiled.match(text)
        compiled.fullmatch(text)
        if not pattern.anchored_only:
            for _ in compiled.finditer(text):
                pass
        return thread_time() - start

    if taken(SHORT) > CHEAP * 5 and (short := min(taken(SHORT) for _ in range(3))) > CHEAP * 5:  # the long text would take forever
        return short / max(min(taken(SHORT // 8) for _ in range(3)), 1e-7)
    if taken(LONG) < CHEAP:
        return 0.0
    # A busy machine makes single measurements longer, never shorter
    return min(taken(LONG) for _ in range(3)) / max(min(taken(SHORT) for _ in range(5)), 1e-7)
