"""Secrets that are passed to commands: as an option, as an argument, or on standard input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from airflow_provider.audit.analysis.secrets.values import names_secret
from airflow_provider.audit.analysis.shell.script import Command, Pipeline, base_name
from airflow_provider.audit.analysis.shell.tool_passwords import by_tool
from airflow_provider.audit.analysis.shell.written_secrets import written_secrets

_OPTION = re.compile(r"-{1,2}[A-Za-z][A-Za-z_-]{2,}")
_PAIR = re.compile(r"(?:-D|/[dp]:|-{1,2}[\w-]+=)?(?P<name>[A-Za-z_][\w.:/-]*)=(?P<value>.+)", re.DOTALL)
_TEXT = frozenset({"echo", "printf", "grep", "sed", "awk", "[", "test"})
"""Commands whose arguments are text."""
_CONFIGURABLE = frozenset({"npm", "pnpm", "yarn", "aws", "git", "composer", "pip", "gcloud", "poetry", "rclone"})
"""Programs that set a value by ``config <name> <value>``."""
_SETTERS = frozenset({"setx", "setenv", "set-item", "new-item", "set-content"})
"""Programs that set a value by ``<name> <value>``."""
_SLASH = re.compile(r"/(?P<name>[A-Za-z_-]{2,30}):(?P<value>.+)", re.DOTALL)
"""An option as programs of Windows have it: ``/pass:...``."""
_FROM_A_VAULT = re.compile(r"--(?:set|update|add|from)?-?secrets?")
"""Options whose value names secrets of a vault: ``--update-secrets NAME=secret:version``."""


def passed_secrets(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Values that are passed to commands and may be secrets, each with a name."""
    for number, command in enumerate(pipeline.commands):
        yield from _by_name(command)
        yield from _in_headers(command)
        yield from (("password", value) for value in by_tool(command.name, command.arguments))
        if _reads_password(command):
            yield from _on_input(command, pipeline.commands[number - 1] if number else None)
    yield from written_secrets(pipeline)


def _by_name(command: Command) -> Iterator[tuple[str, str]]:
    """Values of options and variables that have the name of a secret."""
    name, arguments = command.name, command.arguments
    configures = name in _CONFIGURABLE and "config" in "".join(arguments[:2])
    if name in _SETTERS and len(operands := [text for text in arguments if not text.startswith("-")]) > 1:
        yield operands[0].lower().removeprefix("env:"), operands[1]
    previous = ""
    for text, following in pairwise((*arguments, "")):
        if text.startswith("-") and "=" not in text:
            if _OPTION.fullmatch(text) and names_secret(text.lstrip("-")) and not re.match(r"-|\w+=|(?:env|file):", following):
                yield text.lstrip("-"), following.removeprefix("pass:")
        elif text.startswith("--") and names_secret(text.partition("=")[0].lstrip("-")):
            if not _FROM_A_VAULT.fullmatch(text.partition("=")[0]):
                yield text.partition("=")[0].lstrip("-"), text.partition("=")[2].removeprefix("pass:")
        elif name not in _TEXT and (match := _PAIR.fullmatch(text) or _SLASH.fullmatch(text)) and not _FROM_A_VAULT.fullmatch(previous):
            yield match["name"].rpartition(":")[2], match["value"]
        elif configures and names_secret(text):
            yield text.rpartition(":")[2], following
        previous = text


_HEADER_OPTIONS = frozenset({"-H", "--header", "--proxy-header", "--add-header"})
_HEADER = re.compile(r"[\"']?(?P<name>[A-Za-z][\w-]{1,60})\s*:\s?(?P<value>.+)", re.DOTALL)
_SCHEME = re.compile(r"^(?:Bearer|Basic|Token|ApiKey|Digest|OAuth|SSWS|Splunk|GenieKey|Key)[ =](?=\S+$)", re.IGNORECASE)
_KEY_HEADER = re.compile(r"(?:^|-)(?:key|token|secret|auth|password|authorization|signature|credential)s?$", re.IGNORECASE)
_NO_KEY_HEADER = re.compile(r"idempotency|cache|public|surrogate|routing|partition|sort|csrf|xsrf|request", re.IGNORECASE)


def _in_headers(command: Command) -> Iterator[tuple[str, str]]:
    """Values of HTTP headers: ``-H "X-AIO-Key: ..."``, ``--header=PRIVATE-TOKEN: ...``, and httpie's ``X-Api-Key:...``."""
    texts = [value for option, value in pairwise((*command.arguments, "")) if option in _HEADER_OPTIONS]
    texts += [text[2:] for text in command.arguments if text.startswith("-H") and len(text) > 2]
    texts += [text.partition("=")[2] for text in command.arguments if text.startswith(("--header=", "--proxy-header="))]
    if command.name in ("http", "https", "xh"):
        texts += [text for text in command.arguments if not text.startswith("-") and "://" not in text]
    for text in texts:
        if (match := _HEADER.fullmatch(text)) and not _NO_KEY_HEADER.search(match["name"]):
            name = match["name"]
            if names_secret(name) or _KEY_HEADER.search(name):
                yield "authorization", _SCHEME.sub("", match["value"].strip().strip("\"'"))


_READS = frozenset({"chpasswd", "kinit", "smbpasswd", "passwd"})
"""Programs that read a password from standard input."""
_FROM_INPUT = ("--password-stdin", "--with-token", "--stdin", "--token-stdin", "--passphrase-fd", "--key-file")
_STORES = (
    ("gh", "secret", "set"), ("wrangler", "secret", "put"), ("docker", "secret", "create"), ("podman", "secret", "create"),
    ("gcloud", "secrets", "create"), ("gcloud", "secrets", "versions"), ("firebase", "functions:secrets:set"),
    ("ansible-vault", "encrypt_string"), ("pass", "insert"),
)  # fmt: skip
"""Programs, with a subcommand, that store a secret from standard input."""


def _reads_password(command: Command) -> bool:
    name, arguments = command.name, command.arguments
    if name in _READS or command.has(*_FROM_INPUT) or (name == "htpasswd" and command.has("-i")) or (name == "su" and command.has("-c")):
        return True
    if any((name, *arguments)[: len(words)] == words for words in _STORES):
        return True
    wrappers = [word.text for word in command.words[: len(command.words) - len(command.effective)]] or [word.text for word in command.words]
    if not wrappers or base_name(wrappers[0]) != "sudo":
        return False
    return any(text == "--stdin" or re.fullmatch(r"-[A-Za-z]*S[A-Za-z]*", text) for text in wrappers[1:])


def _on_input(command: Command, before: Command | None) -> Iterator[tuple[str, str]]:
    """``echo ... | docker login --password-stdin``, ``... <<< ...``."""
    if before is not None and before.name in ("echo", "printf"):
        texts = [text for text in before.arguments if not text.startswith("-")]
        yield "password", (texts[-1] if texts else "").removesuffix("\\n").rpartition(":" if command.name == "chpasswd" else "\0")[2]
    yield from (("password", item.target.text) for item in command.redirections if item.operator == "<<<")
