"""Shells that a command is or starts, and the scripts that are passed to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from airflow_provider.audit.analysis.shell.script import Command, Word, base_name
from airflow_provider.audit.analysis.shell.wrappers import JOINED, behind_wrapper

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
ENGINES = frozenset({"docker", "podman", "nerdctl", "docker-compose", "podman-compose"})
_TAKES_OPTION = re.compile(r"[-+][A-Za-z]*[oO]")
_OWN_SHELL = re.compile(r"\$\{?(SHELL|BASH)\b")


_REMOTE_SHELLS = frozenset({"ssh", "autossh", "plink"})
_HERE = ("<<", "<<-", "<<<")
_SCRIPT_OPTIONS = {
    **dict.fromkeys(("su", "runuser", "script", "vagrant", "sg"), (None, ())),
    **dict.fromkeys(("doppler", "infisical", "aws"), (None, ("--command",))),
    "nix-shell": (None, ("--run", "--command")),
    "gcloud": ("ssh", ("--command",)),
    "cf": ("ssh", ("-c", "--command")),
    **dict.fromkeys(("fly", "flyctl"), ("ssh", ("-C", "--command"))),
    "az": (None, ("--scripts", "--exec-command")),
    **dict.fromkeys(("npx", "pnpx"), (None, ("-c", "--call"))),
    "nodemon": (None, ("-x", "--exec")),
    "ansible": (None, ("-a", "--args")),
    "salt": (None, ("cmd.run", "cmd.shell")),
}
"""Programs with options whose value a shell reads: a word that must be among the arguments, and the options; none for a shell's ``-c``."""
_SEVERAL = frozenset({"concurrently", "hyperfine"})
"""Programs whose operands are commands, each as one text."""
_SHELL_MODULES = re.compile(r"(?:ansible\.(?:builtin|windows)\.)?(?:shell|command|raw|win_shell|win_command)")


def joined(words: Iterable[Word], separator: str = " ") -> Word:
    """Words that are read as one text."""
    words = tuple(words)
    return Word(separator.join(word.text for word in words), line=words[0].line if words else 0)


def scripts_within(command: Command) -> Iterator[tuple[str, Word, str | None]]:
    """The scripts that are passed to a command as text: how (``string``, ``heredoc``), text, and kind of shell."""
    name, words = command.name, command.effective
    if name in ("eval", "trap") and len(words) > 1:
        yield "string", joined(words[1:] if name == "eval" else words[1:2]), None
    elif name == "-c":
        yield "string", joined(words[1:2]), None  # of a wrapper: `flock file -c '...'`
    elif name == "cmd":
        yield "string", joined(word for word in words[1:] if word.text.lower() not in ("/c", "/k")), None
    elif (shell := shell_of(command)) and (inline := inline_word_of(shell)) is not None:
        yield "string", inline, "POWERSHELL" if base_name(shell[0].text) in POWERSHELLS else None
    elif reads_script(command):
        for redirection in command.redirections:
            if redirection.operator in _HERE and (text := piped_script(command, redirection.target.text)).strip():
                yield "heredoc", Word(text, line=redirection.target.line), None
    elif not shell:
        yield from (("string", word, None) for word in _texts_of(command) if word.text.strip())


def _texts_of(command: Command) -> Iterator[Word]:
    """The scripts that a program which is no shell passes to one."""
    name, words = command.name, command.effective
    if name in JOINED:
        yield joined(_remote(words))
        if name == "parallel":
            yield from _behind(words, ":::")
    elif name in _SEVERAL:
        yield from (word for word in words[1:] if " " in word.text and not word.text.startswith("-"))
    elif name == "sops":
        texts = [word.text for word in words]
        yield from words[-1:] if {"exec-env", "exec-file"} & set(texts[:4]) else ()
    elif name in _SCRIPT_OPTIONS:
        needed, options = _SCRIPT_OPTIONS[name]
        texts = [word.text for word in words]
        if not options:
            yield from () if (inline := inline_word_of(words)) is None else (inline,)
        elif (needed is None or needed in texts) and (name != "ansible" or _runs_text(texts)):
            yield from _values(words, options)
        if name == "aws":
            given = ((word, word.text.partition("=")) for word in words)
            yield from (replace(word, text=value.strip("[]\"'")) for word, (key, _, value) in given if key == "commands")


def _runs_text(texts: list[str]) -> bool:
    """Whether the module of ``ansible`` takes a command, as the one that it has if none is named does."""
    modules = [value for option, value in pairwise(texts) if option in ("-m", "--module-name")]
    return all(map(_SHELL_MODULES.fullmatch, modules))


def _values(words: tuple[Word, ...], options: tuple[str, ...]) -> Iterator[Word]:
    for number, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if word.text in options:
            yield from words[number + 1 : number + 2]
        elif name in options and equals:
            yield replace(word, text=value)


def _behind(words: tuple[Word, ...], mark: str) -> tuple[Word, ...]:
    """The texts behind a mark, unless there is a command before it to which they are arguments."""
    texts = [word.text for word in words]
    place = texts.index(mark) if mark in texts else len(texts)
    return () if any(not text.startswith("-") for text in texts[1:place]) else words[place + 1 :]


def reads_script(command: Command) -> bool:
    """Whether a command runs what it reads from standard input."""
    if shell := shell_of(command):
        return inline_of(shell) is None and not operands_of(shell)
    name, arguments = command.name, command.arguments
    if name in _REMOTE_SHELLS:
        return not _remote(command.effective)
    if name in ("at", "batch"):
        return not {"-f", "-l", "-r", "-d", "-c"} & set(arguments)
    if name == "crontab":
        return not {"-l", "-r", "-e"} & set(arguments)
    return name in ENGINES and "build" in arguments and ("-" in arguments or any(item.operator in _HERE for item in command.redirections))


_SCHEDULE = re.compile(r"^(?:@\w+|[\d*][\d*/,-]*(?:\s+[\w*][\w*/,-]*){4})\s+(?=\S)")
_INSTRUCTION = re.compile(r"^RUN\s+(?:--\S+\s+)*", re.IGNORECASE)


def piped_script(command: Command, text: str, *, escapes: bool = False) -> str:
    r"""
    What a command runs of the text that it reads: all, or the commands of a crontab or a Dockerfile, each on its line.

    :param escapes: whether ``\n`` is a line end, which it is in one line of the script.
    """
    pattern = _SCHEDULE if command.name == "crontab" else _INSTRUCTION if command.name in ENGINES and not shell_of(command) else None
    if pattern is None:
        return text
    lines = [line.lstrip() for line in text.split("\\n" if escapes else "\n")]
    commands = [line[match.end() :] if (match := pattern.match(line)) else "" for line in lines]
    return "; ".join(filter(None, commands)) if escapes else "\n".join(commands)


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


_TOOL_IMAGES = {
    **dict.fromkeys(("curlimages/curl", "alpine/curl", "byrnedo/alpine-curl"), "curl"),
    **dict.fromkeys(("postman/newman", "postman/newman_alpine33"), "newman"),
    **dict.fromkeys(("bitnami/kubectl", "rancher/kubectl"), "kubectl"),
    **dict.fromkeys(("alpine/git", "bitnami/git"), "git"),
    **dict.fromkeys(("alpine/helm", "dtzar/helm-kubectl"), "helm"),
    **dict.fromkeys(("skopeo/stable", "containers/skopeo"), "skopeo"),
    "rclone/rclone": "rclone", "restic/restic": "restic", "grafana/k6": "k6", "fullstorydev/grpcurl": "grpcurl", "minio/mc": "mc",
    "go-containerregistry/crane": "crane", "amazon/aws-cli": "aws", "aquasec/trivy": "trivy", "alpine/httpie": "http",
    "cytopia/ansible": "ansible", "govmomi/govc": "govc", "vmware/govc": "govc",
}  # fmt: skip
"""Images, without their registry, whose entry point is the tool that their arguments are for."""
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
    if name in ENGINES:
        return _in_container(words)
    if name == "sshpass":
        return _behind_sshpass(words)
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
    if command.name in ENGINES:
        return command.arguments[: _image_at(command.effective)]
    inner = _remote(command.effective) if command.name in JOINED else command_within(command)
    return command.arguments[: len(command.arguments) - len(inner)] if inner else command.arguments


def _in_container(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """What ``docker run`` and ``docker exec`` run: the words behind the image or the container, or the tool that the image is for."""
    position = _image_at(words)
    image, inner = words[position : position + 1], words[position + 1 :]
    name = image[0].text.partition("@")[0].rpartition("/") if image else ("", "", "")
    tool = _TOOL_IMAGES.get(f"{name[0].rpartition('/')[2]}/{name[2].partition(':')[0]}")
    if tool is not None and not any(word.text.startswith("--entrypoint") for word in words[:position]):
        return (Word(tool, line=image[0].line), *inner)
    return () if inner and inner[0].text.startswith("-") else inner


def image_within(command: Command) -> tuple[Word, ...]:
    """The image that ``docker run`` runs, and the words behind it; empty for another command."""
    known = command.name in ENGINES and "run" in command.arguments[:1]
    return command.effective[_image_at(command.effective) :] if known else ()


def _image_at(words: tuple[Word, ...]) -> int:
    """Where the image or the container is that a command of a container engine runs something in."""
    position = next((number for number, word in enumerate(words, 1) if word.text in ("exec", "run", "create")), len(words))
    while position < len(words) and words[position].text.startswith("-"):
        text = words[position].text
        takes = ("=" not in text and text not in _SWITCHES) if text.startswith("--") else _TAKES_VALUE.fullmatch(text)
        position += 2 if takes else 1
    return min(position, len(words))


def _behind_sshpass(words: tuple[Word, ...]) -> tuple[Word, ...]:
    position = 1
    while position < len(words) and words[position].text.startswith("-"):
        position += 2 if words[position].text in ("-p", "-f", "-d", "-P") else 1
    return words[position:]


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
    """The text of the script of a shell's ``-c``."""
    word = inline_word_of(words)
    return None if word is None else word.text


def inline_word_of(words: tuple[Word, ...]) -> Word | None:
    """The script of a shell's ``-c``."""
    powershell = base_name(words[0].text) in POWERSHELLS if words else False
    for position, word in enumerate(words[1:], 1):
        text = word.text.lower() if powershell else word.text
        if powershell and text in ("-c", "-command", "/c"):
            return joined(words[position + 1 :])
        if not powershell and (text == "--command" or (text[:1] == "-" and text[1:].isalpha() and "c" in text)):
            return words[position + 1] if position + 1 < len(words) else None
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
    """The command that ``ssh host``, ``watch`` or ``heroku run`` has a shell run."""
    start = behind_wrapper([word.text for word in words], 0, JOINED[base_name(words[0].text)])
    inner = () if start is None else words[start:]
    end = next((place for place, word in enumerate(inner) if word.text.startswith(":::")), len(inner))
    return inner[:end] if base_name(words[0].text) == "parallel" else inner
