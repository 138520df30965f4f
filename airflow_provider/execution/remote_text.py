"""Remote text is data: what a remote system writes must not colour, forge, group or flood our logs, nor leak secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from airflow_provider.execution.result import iso
from airflow_provider.execution.system import LogLine, Snapshot
from airflow_provider.plain_text import on_one_line, uncoloured, ungrouped

SHORTEST_SECRET = 5
"""Characters: hiding shorter texts would garble the log and tell what they are."""
GROUP_FROM = 4
"""Lines from which on they are folded into a group: a few of them are read sooner without."""
MAX_LINE = 2_000
"""Characters of a remote line that are shown."""
MAX_READ = 16 * 1024
"""Characters of a remote line that are looked at."""

_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|credentials?|"
    r"authorization|bearer)(?:$|[^a-z])",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # JSON web token
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}"
    r"|\b[sr]k_live_\w{16,}|\bsk-(?:ant-|proj-)?[\w-]{20,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{40,}"
    r"|\btc_(?:ws|org)_sk_\w{10,}",
    re.DOTALL,
)


def looks_secret(name: str, value: object) -> bool:
    """Whether an output is a secret by its name or its shape: a closed list, no guessing by entropy."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # camelCase
    return bool(_SECRET_NAME.search(words)) or (isinstance(value, str) and bool(_SECRET_VALUE.search(value)))


def secret_shapes(text: str) -> list[str]:
    """The parts of a text that are secret by their shape."""
    return _SECRET_VALUE.findall(text)


def secret_texts(value: Any) -> Iterator[str]:
    """The texts within a JSON value that are secret by their name or shape: what a task sends, and the remote side may echo."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item) if looks_secret(str(key), None) else secret_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_texts(item)
    elif isinstance(value, str) and looks_secret("", value):
        yield value


def _texts(value: Any) -> Iterator[str]:
    """All texts and numbers below a secret name."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)


def secrets_in(snapshot: Snapshot) -> list[str]:
    """The texts to hide because outputs are secret, whichever step they came from."""
    places = [snapshot.outputs, *(step.outputs for step in snapshot.steps)]
    values = [output.value for outputs in places for name, output in outputs.items() if output.secret or looks_secret(name, output.value)]
    return [*snapshot.hidden, *(value for value in values if isinstance(value, str))]


def _parts(secrets: Iterable[str]) -> list[str]:
    """Each secret, and each line of it, since logs come line by line; the longest first."""
    texts = {part.strip() for secret in secrets for part in (secret, *secret.splitlines())}
    return sorted((text for text in texts if len(text) >= SHORTEST_SECRET), key=len, reverse=True)


def clean(text: object, secrets: Iterable[str] = (), limit: int | None = MAX_LINE) -> str:
    """
    Make one remote line fit for our logs, messages and XComs.

    :param text: the line as it came.
    :param secrets: values to hide besides those that are secret by their shape.
    :param limit: characters to keep; None for all.
    """
    whole = str(text)
    line = uncoloured(whole if limit is None else whole[:MAX_READ])
    hidden = _parts(secrets)
    for secret in hidden:
        line = line.replace(secret, "***")
    line = on_one_line(line)
    for secret in hidden:
        line = line.replace(secret, "***")
    line = ungrouped(_SECRET_VALUE.sub("***", line))
    return line if limit is None or len(line) <= limit else f"{line[:limit]}… (cut; {len(whole)} characters in all)"


def forward(log: Any, title: str, lines: Sequence[LogLine], secrets: Iterable[str] = ()) -> None:
    """
    Write remote log lines to a task's log, in a group for each step, each with the remote's step, time and level.

    :param log: Airflow's structured logger; the text is an argument, the fields can't clash with Airflow's own.
    """
    hide = tuple(secrets)
    for step, group in groupby(lines, key=lambda line: line.step):
        name = clean(step)
        together = list(group)
        fold = len(together) >= GROUP_FROM
        if fold:
            log.info("::group::%s log%s", title, f": {name}" if name else "")
        for line in together:
            fields = {"remote_step": name, "remote_time": iso(line.time), "remote_level": line.level and clean(line.level)}
            log.info("%s", clean(line.text, hide), **{key: value for key, value in fields.items() if value})
        if fold:
            log.info("::endgroup::")
