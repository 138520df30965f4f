"""Shells that a command is or starts, and the scripts that are passed to them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider.audit.analysis.shell.script import Command, Word, base_name

POWERSHELLS = frozenset({"pwsh", "powershell"})
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish"}) | POWERSHELLS
RUNNERS = frozenset(
    {
        "docker",
        "podman",
        "nerdctl",
        "docker-compose",
        "kubectl",
        "oc",
        "lxc",
        "vagrant",
        "ssh",
        "su",
        "runuser",
        "nsenter",
        "find",
        "parallel",
        "wsl",
    }
)
"""Commands that may run a shell that is among their arguments."""
_TAKES_OPTION = re.compile(r"[-+][A-Za-z]*[oO]")
_OWN_SHELL = re.compile(r"\$\{?(SHELL|BASH)\b")


def scripts_within(command: Command) -> Iterator[tuple[str, str, str | None]]:
    """The scripts that are passed to a command as text: how (``string``, ``heredoc``), text, and kind of shell."""
    name, words = command.name, command.effective
    if name in ("eval", "trap") and len(words) > 1:
        yield "string", " ".join(word.text for word in (words[1:] if name == "eval" else words[1:2])), None
    elif name == "cmd":
        yield "string", " ".join(word.text for word in words[1:] if word.text.lower() not in ("/c", "/k")), None
    elif shell := shell_of(command):
        text = inline_of(shell)
        if text is not None:
            yield "string", text, "POWERSHELL" if base_name(shell[0].text) in POWERSHELLS else None
        elif not operands_of(shell):
            for redirection in command.redirections:
                if redirection.operator in ("<<", "<<-", "<<<"):
                    yield "heredoc", redirection.target.text, None
    elif name in ("su", "runuser", "script", "watch", "ssh", "vagrant"):
        text = inline_of(words) if name in ("su", "runuser", "script", "vagrant") else " ".join(word.text for word in _remote(words))
        if text:
            yield "string", text, None
        elif name == "ssh":
            yield from (("heredoc", item.target.text, None) for item in command.redirections if item.operator in ("<<", "<<-", "<<<"))


def shell_of(command: Command) -> tuple[Word, ...]:
    """The words of the shell that a command is, or that it runs, such as ``docker run``; empty if there is none."""
    words = command.effective
    if command.name in SHELLS or _OWN_SHELL.match(words[0].text if words else ""):
        return words
    if command.name in RUNNERS:
        position = next((n for n, word in enumerate(words) if n and base_name(word.text) in SHELLS), None)
        return () if position is None else words[position:]
    return ()


def inline_of(words: tuple[Word, ...]) -> str | None:
    """The script of a shell's ``-c``."""
    powershell = base_name(words[0].text) in POWERSHELLS if words else False
    for position, word in enumerate(words[1:], 1):
        text = word.text.lower() if powershell else word.text
        if powershell and text in ("-c", "-command", "/c"):
            return " ".join(item.text for item in words[position + 1 :])
        if not powershell and (text == "--command" or (text[:1] == "-" and text[1:].isalpha() and "c" in text)):
            return words[position + 1].text if position + 1 < len(words) else None
        if (
            not powershell
            and text[:1] not in "-+"
            and not _TAKES_OPTION.fullmatch(words[position - 1].text)
            and base_name(words[0].text) in SHELLS
        ):
            break
    return None


def operands_of(words: tuple[Word, ...]) -> tuple[str, ...]:
    """The operands of a shell: a script and its arguments. Empty for ``-s`` and ``-``, which mean standard input."""
    rest = [word.text for word in words[1:]]
    while rest:
        text = rest.pop(0)
        if _TAKES_OPTION.fullmatch(text) or text in ("--rcfile", "--init-file") or text.lower() in ("-executionpolicy", "-ep", "-version"):
            rest = rest[1:]
        elif text.lower() == "-file":
            return tuple(rest)
        elif text in ("-", "--stdin") or (text[:1] == "-" and text[1:].isalpha() and "s" in text[1:] and len(text) < 6):
            return ()
        elif text == "--":
            return tuple(rest)
        elif text[:1] not in ("-", "+"):
            return (text, *rest)
    return ()


def _remote(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """The command that ``ssh host`` or ``watch`` runs."""
    position = 1
    while position < len(words) and words[position].text.startswith("-"):
        position += 2 if len(words[position].text) == 2 and words[position].text[1] in "bcDEeFIiJLlmOopQRSWwn" else 1
    return words[position + 1 :] if base_name(words[0].text) == "ssh" else words[position:]
