"""Scripts as rules see them: pipelines of simple commands, whatever the shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

MOST = 256 * 1024
"""Characters of a script that are parsed; :attr:`Script.cut` says if there are more."""
WRAPPERS = {
    "sudo": frozenset("ugphCDRT"),
    "doas": frozenset("uC"),
    "env": frozenset("uC"),
    "nohup": frozenset(),
    "time": frozenset("of"),
    "timeout": frozenset("sk"),
    "nice": frozenset("n"),
    "ionice": frozenset("cn"),
    "stdbuf": frozenset("ioe"),
    "exec": frozenset("a"),
    "command": frozenset(),
    "builtin": frozenset(),
    "busybox": frozenset(),
    "xargs": frozenset("ILnPdEsa"),
    "setsid": frozenset(),
    "coproc": frozenset(),
    "unbuffer": frozenset(),
    "gosu": frozenset(),
    "su-exec": frozenset(),
    "chroot": frozenset(),
    "flock": frozenset("wE"),
}
"""Commands that run the command behind them, and their short options that take a value."""
BEFORE = {"timeout": 1, "gosu": 1, "su-exec": 1, "chroot": 1, "flock": 1}
"""How many arguments of a wrapper come before the command."""
LONG = frozenset(
    {"--user", "--group", "--host", "--prompt", "--chdir", "--unset", "--signal", "--kill-after", "--adjustment", "--max-args"}
)
"""Long options of wrappers whose value is the next word."""
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
"""Commands among whose arguments a shell may stand that they run."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A variable within a word. ``quoted``: it stays one word whatever it holds."""

    name: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Word:
    """
    A word of a command.

    :param text: without its quotes; expansions stay as they are written.
    :param literal: whether the text is the value, without any expansion.
    :param nested: what runs to make the value: command substitutions.
    """

    text: str
    literal: bool = True
    expansions: tuple[Expansion, ...] = ()
    nested: tuple[Nested, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A variable that is set. ``exported``: for all commands that follow."""

    name: str
    value: Word
    line: int
    exported: bool = False


@dataclass(frozen=True, slots=True)
class Redirection:
    """``operator`` such as ``>``, ``<``, ``<<<``, ``2>``; of a heredoc the target is its body."""

    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Nested:
    """
    A script within a command.

    :param via: ``group`` for a subshell, loop or branch that is part of a pipe, ``command`` for ``$(...)``, ``process`` for ``<(...)``,
        ``string`` for ``sh -c '...'`` and ``eval '...'``, ``heredoc`` for one that a shell reads.
    """

    via: str
    pipelines: tuple[Pipeline, ...]


@dataclass(frozen=True)
class Command:
    """
    One simple command.

    :param words: its name and arguments, wrappers such as ``sudo`` included; see :attr:`effective`. Empty for a group or an expression
        that is part of a pipe: :attr:`nested` holds what runs in it.
    :param line: in the script, from 1.
    """

    words: tuple[Word, ...]
    line: int
    assignments: tuple[Assignment, ...] = ()
    redirections: tuple[Redirection, ...] = ()
    nested: tuple[Nested, ...] = ()

    @cached_property
    def effective(self) -> tuple[Word, ...]:
        """The words from the name of what really runs on: behind ``sudo -E``, ``env A=b``, ``timeout 5``."""
        words = self.words
        while words and (wrapper := base_name(words[0].text)) in WRAPPERS:
            if wrapper == "command" and len(words) > 1 and words[1].text in ("-v", "-V"):
                break  # only says where it is
            rest = _behind(words[1:], wrapper)
            if not rest:
                break
            words = rest
        return words

    @cached_property
    def name(self) -> str:
        """What really runs, in lower case, without its path or ``.exe``; empty if there is none."""
        words = self.effective
        return base_name(words[0].text) if words else ""

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """Texts of what follows the name."""
        return tuple(word.text for word in self.effective[1:])

    def has(self, *options: str) -> bool:
        """
        Whether one of these options is given: ``--insecure`` (``--insecure=...`` too), or ``-k``, which counts in ``-fsSk`` too.

        Options behind ``--`` are none.
        """
        for text in self.arguments:
            if text == "--":
                return False
            for option in options:
                short = len(option) == 2 and option[0] == "-" and option[1] != "-"
                if (
                    text == option
                    or text.startswith(f"{option}=")
                    or (short and text[:1] == "-" != text[1:2] and option[1] in _letters(text))
                ):
                    return True
        return False


def scripts_within(command: Command) -> Iterator[tuple[str, str, str | None]]:
    """The scripts that a command is given as text, each as how (``string``, ``heredoc``), text, and kind of shell."""
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
    """The words from the shell on that a command is, or that one such as ``docker run`` runs; empty if there is none."""
    words = command.effective
    if command.name in SHELLS or _OWN_SHELL.match(words[0].text if words else ""):
        return words
    if command.name in RUNNERS:
        at = next((n for n, word in enumerate(words) if n and base_name(word.text) in SHELLS), None)
        return () if at is None else words[at:]
    return ()


def inline_of(words: tuple[Word, ...]) -> str | None:
    """The script that a shell is given by ``-c``."""
    powershell = base_name(words[0].text) in POWERSHELLS if words else False
    for at, word in enumerate(words[1:], 1):
        text = word.text.lower() if powershell else word.text
        if powershell and text in ("-c", "-command", "/c"):
            return " ".join(item.text for item in words[at + 1 :])
        if not powershell and (text == "--command" or (text[:1] == "-" and text[1:].isalpha() and "c" in text)):
            return words[at + 1].text if at + 1 < len(words) else None
        if (
            not powershell
            and text[:1] not in "-+"
            and not _TAKES_OPTION.fullmatch(words[at - 1].text)
            and base_name(words[0].text) in SHELLS
        ):
            break
    return None


def operands_of(words: tuple[Word, ...]) -> tuple[str, ...]:
    """What a shell is given besides options: its script and the arguments of it. ``-s`` and ``-`` mean standard input: none."""
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
    """What ``ssh host`` or ``watch`` is to run."""
    at = 1
    while at < len(words) and words[at].text.startswith("-"):
        at += 2 if len(words[at].text) == 2 and words[at].text[1] in "bcDEeFIiJLlmOopQRSWwn" else 1
    return words[at + 1 :] if base_name(words[0].text) == "ssh" else words[at:]


_TAKES_OPTION = re.compile(r"[-+][A-Za-z]*[oO]")
_OWN_SHELL = re.compile(r"\$\{?(SHELL|BASH)\b")


def _letters(text: str) -> str:
    return text[1:] if text[1:].isalpha() else ""


def _behind(words: tuple[Word, ...], wrapper: str) -> tuple[Word, ...]:
    at = 0
    while at < len(words):
        text = words[at].text
        if text == "--":
            at += 1
            break
        if text.startswith("-"):
            at += 2 if (len(text) == 2 and text[1] in WRAPPERS[wrapper]) or text in LONG else 1
        elif wrapper in ("env", "sudo", "doas") and "=" in text:
            at += 1
        else:
            break
    return words[at + BEFORE.get(wrapper, 0) :]


def base_name(text: str) -> str:
    """Name of a program without its path, in lower case."""
    return text.replace("\\", "/").rstrip("/").rpartition("/")[2].lower().removesuffix(".exe")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``: mostly one."""

    commands: tuple[Command, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """
    A parsed script.

    :param pipelines: at the top and in loops, branches and functions, in the order in which they are written.
    :param broken: whether parts were no valid syntax; the rest is still there.
    :param cut: whether only the first part was parsed.
    """

    pipelines: tuple[Pipeline, ...]
    assignments: tuple[Assignment, ...] = ()
    broken: bool = False
    cut: bool = False

    def every_pipeline(self) -> Iterator[Pipeline]:
        """All pipelines, those within commands behind the one that they are in."""
        yield from _all(self.pipelines)

    def every_command(self) -> Iterator[Command]:
        """All commands, those within commands too."""
        for pipeline in self.every_pipeline():
            yield from pipeline.commands


def _all(pipelines: tuple[Pipeline, ...]) -> Iterator[Pipeline]:
    waiting = list(reversed(pipelines))
    while waiting:
        pipeline = waiting.pop()
        yield pipeline
        inner = [item for command in pipeline.commands for nested in command.nested for item in nested.pipelines]
        waiting.extend(reversed(inner))


@lru_cache(maxsize=32)
def parse(text: str, shell: str | None = None) -> Script:
    """
    Take a script apart. Never fails: what can't be understood is left out, and ``broken`` says so.

    :param shell: ``SH``, ``BASH`` or ``POWERSHELL``; None for a shell like sh.
    """
    if (shell or "").upper() in ("POWERSHELL", "PWSH"):
        from airflow_provider.audit.analysis.shell import powershell as grammar
    else:
        from airflow_provider.audit.analysis.shell import bash as grammar  # type: ignore[no-redef]
    return grammar.parse(text[:MOST], cut=len(text) > MOST)
