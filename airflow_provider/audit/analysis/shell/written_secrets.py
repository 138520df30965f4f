"""Secrets that commands write: into a file, by replacing a part of it, as code, or as an answer to a prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider.audit.analysis.secrets.values import names_secret
from airflow_provider.audit.analysis.shell.script import Command, Pipeline, base_name

MAX_TEXT = 16 * 1024
"""Maximum number of characters of one text that are read."""


def written_secrets(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Values that are written and may be secrets, each with a name."""
    files = [name for command in pipeline.commands for name in _files(command)]
    for command in pipeline.commands:
        texts = list(_texts(command))
        for text in texts:
            yield from _in_code(text)
            yield from _in_answers(text)
            yield from _in_yaml(text)
        if command.name in _EDITORS:
            yield from (pair for text in command.arguments for pair in _in_replacement(text[:MAX_TEXT]))
        elif command.name == "printf":
            yield from _in_format(command.arguments)
        if command.name in ("echo", "printf", "cat", "write-output"):
            yield from _into_file(command, files)


def _texts(command: Command) -> Iterator[str]:
    """Programs in arguments, and texts that are passed in."""
    interpreter = command.name.rstrip("0123456789.")
    if interpreter in _INTERPRETERS:
        yield from (text[:MAX_TEXT] for text in command.arguments)
    yield from (item.target.text[:MAX_TEXT] for item in command.redirections if item.operator in ("<<", "<<-", "<<<"))


_INTERPRETERS = frozenset({"python", "node", "php", "ruby", "perl", "expect", "deno", "bun", "lua", "groovy", "pypy"})
_USER_THEN_PASSWORD = re.compile(
    r"\b(?:login|authenticate|set_?credentials|basic_?auth|HTTPBasicAuth|PSCredential)\(\s{0,5}[\"'][^\"'\n]{0,100}[\"']\s{0,5},"
    r"\s{0,5}[\"']([^\"'\n]{1,256})[\"']"
    r"|\b(?:ftp_login|ssh2_auth_password)\([^,()\n]{1,60},\s{0,5}[\"'][^\"'\n]{0,100}[\"'],\s{0,5}[\"']([^\"'\n]{1,256})[\"']"
    r"|\b(?:mysqli_connect|mysql_connect|mysqli|PDO|MySQLdb\.connect|pymysql\.connect|getConnection)\(\s{0,5}[\"'][^\"'\n]{0,200}[\"']\s{0,5},"
    r"\s{0,5}[\"'][^\"'\n]{0,100}[\"']\s{0,5},\s{0,5}[\"']([^\"'\n]{1,256})[\"']",
    re.IGNORECASE,
)
"""Calls whose password is known by its position: ``login('user', '...')``, ``mysqli_connect('host', 'user', '...')``."""


def _in_code(text: str) -> Iterator[tuple[str, str]]:
    for match in _USER_THEN_PASSWORD.finditer(text) if "(" in text else ():
        yield "password", match[match.lastindex or 0]


_ANSWER = re.compile(
    r"(?:assword|assphrase|passcode|token|secret|\bPIN)[^\"}\n]{0,60}[\"}][\s;{]{0,40}send\s{1,5}(?:--\s{1,5})?[\"{]([^\"{}\s\\$\[]{1,128})\\{1,2}[rn]",
    re.IGNORECASE,
)
"""``expect "Password:"; send "...\\r"``: the answer that a script types where it is asked for a password."""


def _in_answers(text: str) -> Iterator[tuple[str, str]]:
    for match in _ANSWER.finditer(text) if "send" in text else ():
        yield "password", match[1]


_NAME_AND_VALUE = re.compile(
    r"^[ \t-]{0,60}name:[ \t]{0,5}[\"']?(?P<name>\w{1,64})[\"']?[ \t]{0,5}\r?\n[ \t]{1,60}value:[ \t]{1,5}[\"']?(?P<value>[^\s\"']{1,256})",
    re.MULTILINE,
)


def _in_yaml(text: str) -> Iterator[tuple[str, str]]:
    """``- name: DB_PASSWORD`` and ``value: ...`` below it, as Kubernetes has variables."""
    for match in _NAME_AND_VALUE.finditer(text) if "value:" in text else ():
        yield match["name"], match["value"]


# What replaces a part of a file

_EDITORS = frozenset({"sed", "gsed", "perl"})
_ASSIGNED = re.compile(
    r"(?P<name>[A-Za-z_][\w.-]{0,63})[\"']?\s{0,5}(?:=>|[=:])\s{0,5}[\"']?(?P<value>(?:\$\([^()]{0,200}\)|[^\s\"';,]){1,256})"
)
_NAME = re.compile(r"[A-Za-z_][\w.-]{1,63}")
_REMAINS = re.compile(r"(?:\\1|&|\$1|\$\{1\})?[ =:\"']{0,3}(?P<value>[^\s\"'\\]{1,256})[\"';,]?")
"""A replacement that begins with what was there, and goes on with the new value."""


def _in_replacement(program: str) -> Iterator[tuple[str, str]]:
    """``s/DB_PASSWORD=.*/DB_PASSWORD=.../``, ``s|__DB_PASS__|...|``."""
    for old, new in _substitutions(program):
        assigned = list(_ASSIGNED.finditer(new))
        yield from ((match["name"], match["value"]) for match in assigned if not re.search(r"\\\d", match["value"]))
        name = next((match[0] for match in _NAME.finditer(old) if names_secret(match[0])), None)
        if not assigned and name and (match := _REMAINS.fullmatch(new)) and not names_secret(match["value"]):
            yield name, match["value"]


def _substitutions(program: str) -> Iterator[tuple[str, str]]:
    """What the commands ``s/old/new/`` of an editor replace, and with what."""
    position = 0
    while match := _BEGINS.search(program, position):
        delimiter, start = match[1], match.end()
        middle = _end(program, start, delimiter)
        position = _end(program, middle + 1, delimiter) + 1
        if position > len(program):
            return
        yield program[start:middle], program[middle + 1 : position - 1]


_BEGINS = re.compile(r"(?:^|(?<=[\s;{}/$0-9]))s([/|#,~!@:^%+])")


def _end(program: str, start: int, delimiter: str) -> int:
    """Position of the next delimiter without a backslash; the length of the program if there is none."""
    position = start
    while position < len(program) and program[position] != delimiter:
        position += 2 if program[position] == "\\" else 1
    return min(position, len(program))


# What goes into a file

_SPECIFIER = re.compile(r"%(?:%|[-+#0-9.]{0,10}[A-Za-z])")
_BEFORE = re.compile(r"([A-Za-z_][\w.-]{0,63})[\"']?\s{0,3}(?:=>|[=:])\s{0,3}[\"']?$")


def _in_format(arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """``printf 'DB_PASSWORD=%s\\n' '...'``."""
    layout, values = arguments[0][:MAX_TEXT] if arguments else "", list(arguments[1:])
    for match in _SPECIFIER.finditer(layout):
        if match[0] == "%%":
            continue
        if not values:
            return
        value = values.pop(0)
        if name := _BEFORE.search(layout[max(match.start() - 80, 0) : match.start()]):
            yield name[1], value


def _files(command: Command) -> Iterator[str]:
    """Names of the files that a command writes."""
    yield from (base_name(item.target.text) for item in command.redirections if item.operator in (">", ">>", ">|"))
    if command.name in ("tee", "sponge", "set-content", "out-file"):
        yield from (base_name(text) for text in command.arguments if not text.startswith("-"))


def _into_file(command: Command, files: list[str]) -> Iterator[tuple[str, str]]:
    """``echo ... > .vault_pass``, ``echo host:5432:db:user:... > ~/.pgpass``."""
    for file in files:
        stem = file.lstrip(".").partition(".")[0]
        if file == ".pgpass":
            yield from (
                ("password", line.split(":", 4)[4]) for text in _written(command) for line in text.split("\n") if line.count(":") > 3
            )
        elif names_secret(stem):
            yield from ((stem, text) for text in _written(command) if re.fullmatch(r"\S{4,256}", text))


def _written(command: Command) -> list[str]:
    """What a command writes, each text without the line end."""
    if command.name == "cat":
        texts = [item.target.text for item in command.redirections if item.operator in ("<<", "<<-", "<<<")]
    else:
        operands = [text for text in command.arguments if not text.startswith("-")]
        texts = [" ".join(operands[1:] if command.name == "printf" and "%" in "".join(operands[:1]) else operands)]
    return [text[:MAX_TEXT].removesuffix("\\n").strip() for text in texts]
