"""Secrets in variables, results and logs of executions."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from airflow_provider.audit.analysis.secrets.shapes import LITERALS, Secret
from airflow_provider.audit.analysis.secrets.values import (
    may_be_shaped,
    names_secret,
    private_keys,
    secret_named,
    secrets_shaped,
    secrets_within,
)
from airflow_provider.audit.facts.execution import ExecutionFacts
from airflow_provider.audit.facts.fact import Variable
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, cut_off, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings

MOST_VALUES = 20_000
"""Maximum number of values of one execution that are checked."""
PIECE = 4_000
"""Number of characters of a long text that are checked around a possible secret."""
_LITERALS = (
    *LITERALS,
    "AKIA", "ASIA", "ABIA", "ACCA", "A3T", "AKC", "eyJ", "xox", "hooks.slack", "AIza", "k_live_", "k_test_", "npm_", "pypi-",
    "tc_ws_sk_", "tc_org_sk_", "SG.", "sq0", "_authToken", "PuTTY",
)  # fmt: skip
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        *(re.escape(literal) for literal in _LITERALS),
        r"AP[0-9A-F][A-Za-z0-9]{8}",
        r"://[^\s/:]*:[^\s/@]*@",
        r"-us\d",
        r"AC[0-9a-f]{32}",
        r"SK[0-9a-f]{32}",
        r"sk-(?<!\wsk-)[\w-]{16}",
        r"==(?<=[A-Za-z0-9+/]{80}==)",
        r"[MNO][\w-]{23,25}\.[\w-]{6}\.",
        *(rf"{name}[^\n]{{0,60}}[\"'][0-9A-Za-z/+]{{40}}" for name in ("aws", "AWS", "Aws")),
    )
)
"""
A quick pre-check for the slow search for known formats, which skips most text.

Separate patterns that begin with a literal where possible are the fastest.
"""
_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        *(
            rf"{name}[\w.-]{{0,64}}[\"']?\s{{0,64}}[=:]"
            for name in ("passw", "pwd", "secret", "token", "api[_-]?key", "access[_-]?key", "account[_-]?key", "private[_-]?key")
        ),
        *(rf"{name}\s+[\w.~+/=-]{{12}}" for name in ("bearer", "basic", "token")),
    )
)
"""The same for secrets with a name, in lower case."""
_NAME_PARTS = ("passw", "pwd", "secret", "token", "key", "bearer", "basic")
"""Each of them contains one of these."""
_PAGING = re.compile(
    r"(?:next|page|paging|cursor|continuation|sync|csrf|xsrf|idempotency|delta|resume|skip)[\w -]{0,20}token", re.IGNORECASE
)
"""Tokens that grant no access."""
_HEADER = "Authorization header"


def _pieces(text: str) -> Iterator[str]:
    """A short text unchanged; for a long one the parts around possible secrets."""
    if len(text) <= PIECE:
        yield text
        return
    lower, end = text.lower(), 0
    low = lower if len(lower) == len(text) else text
    searched = [(pattern, text) for pattern in _PATTERNS] + [(pattern, low) for pattern in _NAMES]
    starts = sorted(match.start() for pattern, where in searched for match in pattern.finditer(where))
    for start in starts:
        if start >= end:
            yield text[max(start - 200, 0) : start + PIECE]
            end = start + PIECE - 400


def _secrets_in(text: str) -> Iterator[Secret]:
    """Secrets in a text, those with the highest confidence first."""
    for piece in _pieces(text):
        if _is_shaped(piece):
            for secret in secrets_shaped(piece):
                mixed = re.search(r"\d", secret.value) and re.search("[a-z]", secret.value)
                if mixed or "Artifactory" not in secret.kind:  # not APACHETOMCAT
                    yield secret
        if _is_named(piece):
            yield from (secret for secret in secrets_within(piece) if not _pages(piece, secret.value))


def _pages(text: str, value: str) -> bool:
    at = text.find(value)
    return bool(_PAGING.search(text[max(at - 60, 0) : at]))


def _is_shaped(text: str) -> bool:
    return may_be_shaped(text) and (
        any(literal in text for literal in _LITERALS) or any(pattern.search(text) for pattern in _PATTERNS[len(_LITERALS) :])
    )


def _is_named(text: str) -> bool:
    lower = text.lower()
    return any(part in lower for part in _NAME_PARTS) and any(pattern.search(lower) for pattern in _NAMES)


def _worth(text: str) -> bool:
    """Whether the slow search may find something."""
    return _is_shaped(text) or _is_named(text)


Leaf = tuple[str, str, str]
"""Path, name and text of a value."""


def _leaves(path: str, name: str, value: Any, left: list[int]) -> Iterator[Leaf]:
    """The texts of a JSON value, each with its nearest key. ``left`` counts down the number of values that may still be checked."""
    waiting = [(path, name, value)]
    while waiting and left[0] > 0:
        path, name, value = waiting.pop()
        if isinstance(value, str):
            left[0] -= 1
            if len(value) >= 4:
                yield path, name, value
        elif isinstance(value, Mapping):
            label = next((value[key] for key in ("key", "name") if isinstance(value.get(key), str) and "value" in value), None)
            for key, item in value.items():
                waiting.append((f"{path}.{key}", label if label and key == "value" else str(key), item))
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{path}[{number}]", name, item) for number, item in enumerate(value)]
        elif isinstance(value, int) and not isinstance(value, bool) and value > 99_999 and names_secret(name):
            yield path, name, str(value)
        else:
            left[0] -= 1


@rule(
    "EXE009",
    "Secret in variables or results",
    on=ExecutionFacts,
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("outputted_variables", "passed_variables", "events[].action_result", "result", "execution_context", "trigger_data"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("secrets.names",),
)
def secret_in_output(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A variable or a result of the execution or a step contains a secret in plain text, recognised by its name or by the format of its value.
    References, placeholders and masked values are not reported, nor are values that only look random, since results often contain ids.

    Why:
    Results are stored, shown in web pages, and passed on to the next step, to notifications, and to Airflow's XCom.

    Fix:
    Revoke the secret. Pass on a reference to it, not its value; encrypt variables (Buddy), mask outputs (Tracecat: ``mask_output``).

    Before:
    {"outputted_variables": [{"key": "DB_PASSWORD", "value": "correct-h0rse"}]}

    After:
    {"outputted_variables": [{"key": "DB_PASSWORD_PATH", "value": "vault:secret/db#password"}]}
    """
    if not execution.detailed and not execution.outputs and not any(step.outputs or step.passed for step in execution.steps):
        yield not_available("variables and results were not read")
    left, reported = [MOST_VALUES], set()
    for place, name, value in _values(execution):
        for path, key, text in _leaves(place, name, value, left):
            secret = _secret_of(key, text, settings)
            if secret is not None and (path, secret.value) not in reported:
                reported.add((path, secret.value))
                message = f"{key} contains a secret: {secret.kind}."
                yield fail(path, hidden(secret.kind, secret.value), message, confidence=secret.confidence)
    if left[0] <= 0:
        yield cut_off(f"more than {MOST_VALUES:,} values")


def _secret_of(name: str, text: str, settings: AuditSettings) -> Secret | None:
    if settings.secrets.excludes(name):
        return None
    secrets = []
    if names_secret(name) and not _PAGING.search(name) and len(text) <= PIECE and (secret := secret_named(name, text)):
        secrets.append(secret)
    if len(text) >= 8 and _worth(text):
        telling = "uthorization" in text or "earer" in text or "Basic" in text
        secrets += [secret if telling or secret.kind != _HEADER else _less_sure(secret) for secret in _secrets_in(text)]
    return max(secrets, key=lambda secret: secret.confidence.rank, default=None)


def _values(execution: ExecutionFacts) -> Iterator[tuple[str, str, Any]]:
    """Path, name and value of all variables and results."""
    if execution.alga_psa is not None:
        yield from ((f"execution_context.{item.key}", item.key, item.value) for item in execution.outputs)
        yield from ((f"trigger_data.{key}", str(key), value) for key, value in execution.alga_psa.trigger_data.items())
        return
    for step in execution.steps:
        if execution.buddy is not None:
            yield from _plain(f"{step.path}.passed_variables", step.passed)
            yield from _plain(f"{step.path}.outputted_variables", step.outputs)
        else:
            yield from ((f"{step.path}.{item.key}", item.key, item.value) for item in step.outputs)
    if execution.tracecat is not None:
        yield from ((f"result.{item.key}" if item.key != "result" else "result", item.key, item.value) for item in execution.outputs)


def _plain(path: str, variables: Sequence[Variable]) -> Iterator[tuple[str, str, Any]]:
    for number, item in enumerate(variables):
        if not item.encrypted and item.type != "SSH_PUBLIC_KEY":
            yield f"{path}[{number}].value", item.key, item.value


@rule(
    "EXE010",
    "Secret or personal data in logs or errors",
    on=ExecutionFacts,
    severity=Severity.HIGH,
    confidence=Confidence.MEDIUM,
    reads=("log", "error_message", "logs[].message", "logs[].metadata", "error_stack", "events[].action_error", "events[].failure.message"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("secrets.names",),
)
def secret_in_log(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A log line, an error message or a stack trace contains a secret, in a known format (confidence high) or as the value of a name, or the
    number of a payment card or bank account. Persona strict: also e-mail addresses. At most the last 1,000 lines of each log are read.

    Why:
    Logs are kept for long, copied to other systems such as Airflow, and read by many people.

    Fix:
    Revoke the secret, and change the program so that it does not print it. Masking is only a safety net: it misses encoded values.

    Before:
    {"log": ["Authorization: Bearer eyJhbGciOi..."]}

    After:
    {"log": ["Authorization: Bearer ***"]}
    """
    if not execution.logs_read and not (execution.tracecat is not None and execution.detailed):
        yield not_available("logs or errors were not read")
    reported: set[str] = set()
    for path, secret in _in_texts(list(_texts(execution)), strict=settings.persona.reaches(Persona.STRICT)):
        if any(secret.value in value or value in secret.value for value in reported):
            continue
        reported.add(secret.value)
        personal = secret.kind in _PERSONAL
        message = f"It contains personal data: {secret.kind}." if personal else f"It contains a secret: {secret.kind}."
        mail = secret.kind == _MAIL
        yield fail(
            path,
            hidden(secret.kind, secret.value),
            message,
            confidence=secret.confidence,
            severity=Severity.LOW if mail else Severity.MEDIUM if personal else None,
            persona=Persona.STRICT if mail else None,
        )


def _texts(execution: ExecutionFacts) -> Iterator[tuple[str, str]]:
    for line in execution.logs:
        yield line.path, line.text
    if execution.alga_psa is not None:
        yield "error_message", execution.error or ""
        yield "error_stack", execution.alga_psa.error_stack or ""
        return
    field = "error_message" if execution.buddy is not None else "action_error"
    for step in execution.steps:
        if step.error:
            yield f"{step.path}.{field}", step.error
    if execution.tracecat is not None:
        yield "failure", execution.error or ""
        for event in execution.tracecat.events or ():
            if event.failure:
                yield f"events[{event.id}].failure", event.failure


def _in_texts(texts: Sequence[tuple[str, str]], *, strict: bool) -> Iterator[tuple[str, Secret]]:
    """Checks the whole text first, since most logs contain nothing."""
    whole = "\n".join(text for _, text in texts)
    starts = list(accumulate((len(text) + 1 for _, text in texts), initial=0))
    for match in private_keys(whole):
        yield texts[bisect_right(starts, match.start()) - 1][0], Secret("Private Key", match[0], Confidence.HIGH)
    if _worth(whole):
        for path, text in texts:
            if len(text) >= 8 and _worth(text):
                for secret in _secrets_in(text):
                    if "Private Key" not in secret.kind and "PRIVATE KEY" not in secret.value:
                        yield path, _less_sure(secret)
    for start, kind, number in _personal(whole):
        yield texts[bisect_right(starts, start) - 1][0], Secret(kind, number, Confidence.MEDIUM)
    if strict and "@" in whole:
        for match in _ADDRESS.finditer(whole):
            yield texts[bisect_right(starts, match.start()) - 1][0], Secret(_MAIL, match[0], Confidence.LOW)


def _less_sure(secret: Secret) -> Secret:
    """A secret that is recognised only by its name may be an example or a harmless token."""
    sure = secret.kind not in ("Value of a secret's name", _HEADER)
    return secret if sure else secret.at_most(Confidence.MEDIUM)


_CARD, _ACCOUNT, _INSURED, _MAIL = "payment card", "bank account", "social security number", "e-mail address"
_PERSONAL = (_CARD, _ACCOUNT, _INSURED, _MAIL)
_NUMBERS = (
    (_CARD, re.compile(r"[3-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{3,4}|3[47]\d\d[ -]?\d{6}[ -]?\d{5}")),
    (_ACCOUNT, re.compile(r"[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?")),
    (_INSURED, re.compile(r"(?:SSN|ssn|[Ss]ocial.[Ss]ecurity)\D{1,16}\d{3}-\d\d-\d{4}")),
)
_ADDRESS = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*\.[a-z]{2,10}\b", re.IGNORECASE)


def _personal(text: str) -> Iterator[tuple[int, str, str]]:
    """Personal numbers in a text: position, kind, number."""
    for kind, pattern in _NUMBERS:
        for match in pattern.finditer(text):
            before, behind = text[max(match.start() - 1, 0) : match.start()], text[match.end() : match.end() + 1]
            if before.isalnum() or before in tuple("-._") or behind.isalnum() or behind in tuple("-_"):
                continue  # a part of something longer
            plain = re.sub("[ -]", "", match[0])
            card = kind == _CARD and _luhn(plain) and len(set(plain)) > 1
            account = kind == _ACCOUNT and 15 <= len(plain) <= 34 and _remainder(plain) == 1
            if card or account or kind == _INSURED:
                yield match.start(), kind, match[0]


def _luhn(digits: Iterable[str]) -> bool:
    doubled = [int(digit) * (1 + number % 2) for number, digit in enumerate(reversed(list(digits)))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _remainder(account: str) -> int:
    """Remainder of an IBAN, which is 1 if its check digits are right."""
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97
