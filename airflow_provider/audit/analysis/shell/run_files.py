"""Files that a command runs or unpacks."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from airflow_provider.audit.analysis.shell.inner_shells import inline_of, operands_of, shell_of
from airflow_provider.audit.analysis.shell.script import Command

CODE = {
    "python": ("cm", ()),
    "node": ("ep", ("--eval", "--print")),
    "ruby": ("enp", ()),
    "perl": ("eEnp", ()),
    "php": ("rfBRE", ("--run", "--file")),
    "lua": ("e", ()),
    "rscript": ("e", ()),
    "tclsh": ("", ()),
    "deno": ("", ()),
    "bun": ("e", ("--eval",)),
}
"""Interpreters, with the options that pass a program, so that standard input is data."""
INSTALLERS = frozenset({
    "dpkg", "apt", "apt-get", "rpm", "yum", "dnf", "microdnf", "zypper", "apk", "gdebi", "pacman", "snap", "flatpak", "installer",
    "msiexec", "pkg", "pip", "pip3", "gem", "npm", "choco", "add-appxpackage", "hdiutil", "pkgutil",
})  # fmt: skip
PACKAGES = (
    ".deb", ".rpm", ".apk", ".pkg", ".msi", ".snap", ".flatpak", ".whl", ".gem", ".pkg.tar.zst", ".pkg.tar.xz", ".dmg", ".msix", ".nupkg",
    ".tgz",
)  # fmt: skip
_STARTERS = frozenset({"&", "cmd", "call", "invoke-expression", "iex"})
_WITH_LIST = frozenset({"start-process", "saps", "start"})
"""Programs that start another, whose arguments are one text."""
_LAUNCHERS = frozenset({"mono", "wine", "wine64", "dotnet", "wscript", "cscript", "mshta", "regsvr32", "rundll32"})
"""Programs whose first operand is a program."""
_JAVA = frozenset({"-jar", "-cp", "-classpath", "--class-path", "--module-path", "-p"})


def interpreter_of(name: str) -> str | None:
    """The interpreter that a program is, without its version: ``python3.12``."""
    plain = name.rstrip(f"{string.digits}.")
    return {"nodejs": "node", "pypy": "python"}.get(plain, plain) if plain in CODE or plain in ("nodejs", "pypy") else None


def base_of(file: str) -> str:
    """Name of a file without its folder."""
    return file.strip("\"'").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def files_run_by(command: Command, name: str, *, piped: bool) -> list[str]:
    """
    The files that a command may run.

    :param name: of the program.
    :param piped: whether another command runs its output.
    """
    shell = shell_of(command)
    files: list[str] = []
    if shell and inline_of(shell) is None:
        files += operands_of(shell)[:1]
    elif name == "source" or interpreter_of(name):
        letters = CODE[interpreter_of(name) or "tclsh"][0]
        rest = [text for text in command.arguments if text not in ("run",)]
        if not any(text[:1] == "-" and text[1:].isalpha() and text[-1] in letters for text in rest):
            files += [text for text in rest if not text.startswith("-")][:1]
    elif name in INSTALLERS:
        files += [text for text in command.arguments if text.endswith(PACKAGES)]
    elif name in _STARTERS:
        files += [text for text in command.arguments if not text.startswith("-")][:1]
    elif name in _WITH_LIST:
        files += [part for text in command.arguments if not text.startswith("-") for part in re.split(r"[\s,\"']+", text)]
    elif name in _LAUNCHERS:
        files += [text for text in command.arguments if not text.startswith(("-", "/"))][:1]
    elif name in ("java", "javaw"):
        files += _of_java(command.arguments)
    else:
        files.append(command.effective[0].text)
    if shell or interpreter_of(name):
        files += [item.target.text for item in command.redirections if item.operator == "<"]
    if piped and name in ("cat", "get-content", "gc", "type"):
        files += command.arguments
    if (inline := inline_of(shell) if shell else " ".join(command.arguments) if name == "eval" else None) and (
        match := re.match(r"\s*(?:\$\(cat|`cat|\$\(<)\s*([^\s)`]+)", inline)
    ):
        files.append(match[1])
    return files


def _of_java(arguments: tuple[str, ...]) -> Iterator[str]:
    for number, text in enumerate(arguments):
        if text in _JAVA:
            yield from arguments[number + 1 : number + 2]
        elif text.startswith("-javaagent:"):
            yield text.partition(":")[2].partition("=")[0]


def unpacked_by(command: Command, name: str) -> list[str] | None:
    """What a command that unpacks an archive has as operands: the archive, its parts, the folder; None if it does not."""
    arguments = command.arguments
    if name in ("tar", "bsdtar", "gtar"):
        first = arguments[0] if arguments else ""
        extracts = command.has("-x", "--extract", "--get") or re.fullmatch(r"-?[A-Za-z]*x[A-Za-z]*", first)
        return [text for text in arguments[0 if first.startswith("-") else 1 :] if not text.startswith("-")] if extracts else None
    if name in ("unzip", "7z", "expand-archive", "gunzip", "unxz", "bunzip2", "cpio", "jar"):
        return [text for text in arguments if not text.startswith("-")]
    return None


def comes_from(file: str, archive: str) -> bool:
    """Whether the name or the folder of a file that is run has the name of an archive, or the archive that of the file."""
    whole = _first_word(base_of(archive))
    parts = [part for part in file.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return bool(whole) and any(
        word == whole or (min(len(word), len(whole)) > 2 and (word.startswith(whole) or whole.startswith(word)))
        for word in map(_first_word, parts)
        if word
    )


def _first_word(text: str) -> str:
    return re.split(r"[-_.]", text.lower(), maxsplit=1)[0]
