"""Secrets in Buddy actions and their logs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider.audit.analysis.secrets.shapes import MAX_CHARACTERS, Secret
from airflow_provider.audit.analysis.secrets.values import (
    names_secret,
    private_keys,
    secret_named,
    secrets_by_line,
    secrets_shaped,
    secrets_within,
    with_defaults,
)
from airflow_provider.audit.analysis.shell.passed_secrets import passed_secrets
from airflow_provider.audit.analysis.shell.printed_secrets import printed_secrets, prints_request, traced_by_shebang, traces
from airflow_provider.audit.facts.action import SCRIPT_FIELDS, ActionFacts
from airflow_provider.audit.facts.commands import Commands
from airflow_provider.audit.facts.origin import FieldPath
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, cut_off, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY008",
    "Plain-text secret in variables",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("variables[].key", "variables[].value", "variables[].defaults", "variables[].encrypted"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names", "secrets.entropy"),
)
def secret_in_variable(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A variable that is not encrypted contains a secret, recognised by its name (``DB_PASSWORD``) or by its value (keys, tokens, passwords in
    URLs). References, placeholders and examples are not reported. Confidence is low for weak values and for random-looking ones.

    Why:
    Everyone who can read the pipeline can read it, and it appears unmasked in logs and exports.

    Fix:
    Revoke the secret, set a new one, and tick *encrypted*. List variables that are not secrets in ``secrets.names``.

    Before:
    {"variables": [{"key": "DB_PASSWORD", "value": "correct-h0rse", "encrypted": false}]}

    After:
    {"variables": [{"key": "DB_PASSWORD", "value": "!encrypted kQ...", "encrypted": true}]}
    """
    if not action.has_fields("variables"):
        yield not_available("variables is not visible")
    for number, variable in enumerate(action.variables):
        if variable.encrypted or variable.type == "SSH_PUBLIC_KEY" or settings.secrets.excludes(variable.key):
            continue
        for field, value in (("value", variable.value), ("defaults", variable.defaults)):
            if value is None or (isinstance(value, (bool, int, float)) and not names_secret(variable.key)):
                continue
            if len(str(value)) > MAX_CHARACTERS:
                yield cut_off(f"variables: a value has more than {MAX_CHARACTERS:,} characters")
            found = secrets_by_line(variable.key, str(value), entropy=settings.secrets.entropy)
            for line, secret in found:
                path, message = FieldPath(f"variables[{number}].{field}", line), f"{variable.key} contains a secret and is not encrypted."
                yield fail(path, hidden(secret.kind, secret.value), message, confidence=secret.confidence)
            if found:
                break


@rule(
    "BDY009",
    "Plain-text secret in commands",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.MEDIUM,
    reads=(*SCRIPT_FIELDS, "loop"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names",),
)
def secret_in_commands(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    r"""
    A command contains a secret: in a known format (confidence high), or as the value of a variable, option or header with a secret's name.

    Why:
    Everyone who can read the pipeline can read it, and the log may show the command.

    Fix:
    Revoke the secret, set a new one as an encrypted variable, and use ``$NAME`` in the command.

    Before:
    {"execute_commands": ["curl -u ci:correct-h0rse https://example.com"]}

    After:
    {"execute_commands": ["curl -u \"ci:$PASSWORD\" https://example.com"]}
    """
    if not action.has_fields(*SCRIPT_FIELDS, "loop"):
        yield not_available("the commands are not visible")
        return
    for script in action.scripts():
        reported: dict[tuple[str, int], set[str]] = {}
        for path, secret in _secrets_of(script, settings):
            known = reported.setdefault(path.place, set())
            if not any(secret.value in value or value in secret.value for value in known):
                known.add(secret.value)
                message = f"The commands contain a secret: {secret.kind}."
                yield fail(path, hidden(secret.kind, secret.value), message, confidence=secret.confidence)
    for number, value in enumerate(action.config.loop):
        for secret in secrets_shaped(value)[:1]:
            yield fail(
                f"loop[{number}]",
                hidden(secret.kind, secret.value),
                f"The loop contains a secret: {secret.kind}.",
                confidence=secret.confidence,
            )


def _secrets_of(script: Commands, settings: AuditSettings) -> Iterator[tuple[FieldPath, Secret]]:
    """Those with the highest confidence first."""
    for match in private_keys(script.text):
        yield script.path_at(script.text.count("\n", 0, match.start()) + 1), Secret("Private Key", match[0], Confidence.HIGH)
    for number, line in enumerate(script.text.split("\n"), 1):
        for secret in secrets_shaped(line):
            if "Private Key" not in secret.kind and "PRIVATE KEY" not in secret.value:
                yield script.path_at(number), secret
    for number, line in enumerate(script.text.split("\n"), 1):
        if _WORTH.search(line):
            for secret in secrets_within(line):
                yield script.path_at(number), secret.at_most(Confidence.MEDIUM)
    for path, assignment in script.every_assignment():
        known = assignment.value.literal or "$" not in with_defaults(assignment.value.text)
        excluded = not known or settings.secrets.excludes(assignment.name)
        if not excluded and (found := secret_named(assignment.name, assignment.value.text)):
            yield script.path_of(found.value, path), found.at_most(Confidence.MEDIUM)
    for path, pipeline in script.every_pipeline():
        for name, value in passed_secrets(pipeline):
            if not settings.secrets.excludes(name) and (found := secret_named(name, value)):
                yield script.path_of(found.value, path), found.at_most(Confidence.MEDIUM)


_WORTH = re.compile(r"pass|pwd|secret|token|key|bearer|basic", re.IGNORECASE)


@rule(
    "BDY012",
    "Secret printed, or trace mode on",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=(*SCRIPT_FIELDS, "shell", "variables"),
    needs=("EXECUTION_INFO",),
)
def secret_printed(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    r"""
    The commands print all variables, a variable that is encrypted or has a secret's name, a credentials file, or a secret from a vault; or
    the shell prints each command with its values (``set -x``), or a program its request (``curl -v``). Output that goes into a file or
    another command is not reported.

    Why:
    Logs are kept, are readable by more people than the variables, and are copied to other systems such as Airflow. Masking misses encoded
    values.

    Fix:
    Print whether it is set, not its value: ``echo "${TOKEN:+set}"``. Only turn tracing on for the lines that need it.

    Before:
    {"execute_commands": ["set -x", "echo $API_TOKEN"]}

    After:
    {"execute_commands": ["echo \"token: ${API_TOKEN:+set}\""]}
    """
    if not action.has_fields(*SCRIPT_FIELDS):
        yield not_available("the commands are not visible")
        return
    encrypted = frozenset(variable.key for variable in action.variables if variable.encrypted)
    for commands in action.scripts():
        reported: set[tuple[tuple[str, int], str]] = set()
        for path, shown, confidence in _printed(commands, encrypted):
            if (path.place, shown) not in reported:
                reported.add((path.place, shown))
                yield fail(path, shown, f"The log will show a secret: {shown}.", confidence=confidence)


def _printed(commands: Commands, encrypted: frozenset[str]) -> Iterator[tuple[FieldPath, str, Confidence | None]]:
    if shown := traced_by_shebang(commands.text):
        yield commands.path_at(1), shown, Confidence.LOW
    for path, command in commands.every_command():
        if shown := traces(command) or prints_request(command, encrypted):
            yield path, shown, None
    for before, script in commands.parsed:
        for command, shown, confidence in printed_secrets(script, encrypted):
            yield commands.path_at(before + command.line), shown, confidence
