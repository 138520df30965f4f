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


_SCRIPT_FILE = re.compile(r"\S+\.(?:sh|bash|ash|dash|zsh|ksh)")
_SHEBANG = re.compile(r"#!\s?\S*/(?:env )?(?:ba|da|z|k|a)?sh\b")


def kept_scripts(command: Command) -> Iterator[str]:
    """What a command keeps to be run later: ``alias x='...'``, ``cat > script.sh <<EOF``, ``tee script.sh <<EOF``."""
    if command.name == "alias":
        yield from (text.partition("=")[2] for text in command.arguments if "=" in text)
    if command.name not in ("cat", "tee"):
        return
    files = [item.target.text for item in command.redirections if item.operator in (">", ">>", ">|")]
    files += command.arguments if command.name == "tee" else ()
    for item in command.redirections:
        if item.operator in ("<<", "<<-") and (any(map(_SCRIPT_FILE.fullmatch, files)) or (files and _SHEBANG.match(item.target.text))):
            yield item.target.text


_ENGINES = frozenset({"docker", "podman", "nerdctl", "docker-compose", "podman-compose"})
_CLUSTERS = frozenset({"kubectl", "oc", "lxc", "incus", "buildah", "microk8s.kubectl", "k3s"})
_TAKES_VALUE = re.compile("-[A-Zbdfijkoqrstxyz]*[aceghlmnpuvw]")
"""Short options of container engines with a value, also behind others."""
_SWITCHES = frozenset({
    "--detach", "--interactive", "--tty", "--rm", "--privileged", "--init", "--read-only", "--publish-all", "--no-healthcheck", "--quiet",
    "--oom-kill-disable", "--no-deps", "--service-ports", "--use-aliases", "--build", "--no-tty", "--no-TTY", "--replace",
})  # fmt: skip
"""Long options of container engines that take no value."""


def command_within(command: Command) -> tuple[Word, ...]:
    """The words of a command that another runs as it is: ``docker exec c curl x``, ``kubectl exec p -- curl x``, ``find -exec rm x``."""
    name, words = command.name, command.effective
    if name in _ENGINES:
        return _in_container(words)
    if name in _CLUSTERS:
        texts = [word.text for word in words]
        known = {"exec", "run", "debug"} & set(texts[:6])
        return words[texts.index("--") + 1 :] if known and "--" in texts else ()
    if name == "find":
        texts = [word.text for word in words]
        start = next((number for number, text in enumerate(texts, 1) if text in ("-exec", "-execdir", "-ok", "-okdir")), len(texts))
        return words[start : next((number for number in range(start, len(texts)) if texts[number] in (";", "+")), len(texts))]
    return ()


def own_arguments(command: Command) -> tuple[str, ...]:
    """The arguments of a command without those of the command that it runs."""
    inner = _remote(command.effective) if command.name in ("ssh", "watch") else command_within(command)
    return command.arguments[: len(command.arguments) - len(inner)] if inner else command.arguments


def _in_container(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """What ``docker run`` and ``docker exec`` run: the words behind the image or the container."""
    start = next((number for number, word in enumerate(words, 1) if word.text in ("exec", "run")), len(words))
    position = start
    while position < len(words) and words[position].text.startswith("-"):
        text = words[position].text
        takes = ("=" not in text and text not in _SWITCHES) if text.startswith("--") else _TAKES_VALUE.fullmatch(text)
        position += 2 if takes else 1
    inner = words[position + 1 :]
    return () if inner and inner[0].text.startswith("-") else inner


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
