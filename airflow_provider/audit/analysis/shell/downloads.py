"""Downloaded code that a script runs, for example by piping ``curl`` into a shell."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from airflow_provider.audit.analysis.shell.by_address import UNCHECKED_KEY, run_by_address
from airflow_provider.audit.analysis.shell.fetching import (
    POWERSHELL_FETCH,
    Run,
    addressed_files,
    fetches_inline,
    host_of,
    is_fetcher,
    output_file,
    prints,
    saved_by,
    to_a_file,
)
from airflow_provider.audit.analysis.shell.inner_shells import POWERSHELLS, RUNNERS, SHELLS, inline_of, operands_of, shell_of
from airflow_provider.audit.analysis.shell.run_files import CODE, INSTALLERS, base_of, comes_from, files_run_by, interpreter_of, unpacked_by
from airflow_provider.audit.analysis.shell.script import Command, Nested, Pipeline, Redirection, Script, Word, base_name

_THROUGH = frozenset({
    "cat", "tee", "tr", "sed", "awk", "gawk", "grep", "egrep", "head", "tail", "cut", "sort", "uniq", "rev", "base64", "openssl",
    "gunzip", "gzip", "zcat", "xz", "bunzip2", "iconv", "dos2unix", "envsubst", "jq", "yq", "pv", "out-string", "select-object",
})  # fmt: skip
_SUMS = re.compile(
    r"(?:sha\d*|md5|b2|b3|ck)sums?|shasum|gsha\d+sum|rhash|openssl|gpgv?2?|cosign|minisign|signify|get-filehash|gh|slsa-verifier|sha\d+|digest"
)
_RUNS = re.compile(r"\b(?:exec|eval|system|Function)\b")
_FETCHES = re.compile(r"urlopen|requests\.get|https?://|fetch\(|open-uri|file_get_contents")
_OWN_HOST = re.compile(r"(?:^|\s)(?:localhost|127(?:\.\d{1,3}){3}|::1|0\.0\.0\.0)(?=\s|$)")
_SAYS = frozenset({"echo", "printf", "write-output", "write-host"})
_STANDARD_INPUT = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})


MAX_UNPACKED = 50
"""Maximum number of names from unpacked archives that are looked for in what runs afterwards."""
_FOLDERS = frozenset({"bin", "sbin", "lib", "local", "usr", "opt", "tmp", "src", "app", "dist", "build", "home", "root", "vendor", "tools"})
"""Folders that programs of any origin are in."""


class Downloads:
    """Downloads of the scripts of one action. Pass the scripts in the order in which they run, since one may run what another saved."""

    def __init__(self) -> None:
        self._literals: dict[str, str] = {}
        self._fetched: set[str] = set()
        self._saved: dict[str, str] = {}
        self._unpacked: dict[str, str] = {}
        """What downloaded archives may have brought, by the name of an archive, a part of it, or a folder."""
        self._downloads: dict[int, str | None] = {}
        """What each command downloads with, by its id: without it, each level of nesting would double the work."""
        self._hosts: dict[int, str] = {}

    def runs(self, script: Script) -> Iterator[Run]:
        """Yield each place where downloaded code runs; a line may occur more than once."""
        self._downloads, self._hosts = {}, {}
        for assignment in script.assignments:
            if assignment.value.literal:
                self._literals[assignment.name] = assignment.value.text
            if self._download_in(assignment.value.nested):
                self._fetched.add(assignment.name)
        for pipeline in script.every_pipeline():
            runs = itertools.chain(self._piped(pipeline), *map(self._in_command, pipeline.commands), self._after_saving(pipeline))
            yield from (replace(run, sure=False, weak=True) if _OWN_HOST.search(run.shown) else run for run in runs)

    # What downloads

    def name(self, command: Command) -> str:
        """The name of the program, even if it comes from a variable or from ``which``."""
        words = command.effective
        if not words:
            return ""
        text = words[0].text
        if text == ".":
            return "source"
        if words[0].expansions and (match := re.fullmatch(r"\$\{?(\w+)\}?", text)) and match[1] in self._literals:
            return base_name((self._literals[match[1]].split() or [""])[0])
        if words[0].nested and (match := re.fullmatch(r"(?:\$\(|`)\s*(?:which|command -v|type -p)\s+([\w./-]+)\s*[)`]", text)):
            return base_name(match[1])
        return command.name

    def _host_of(self, command: Command) -> str:
        if id(command) not in self._hosts:
            self._hosts[id(command)] = host_of(command)
        return self._hosts[id(command)]

    def _download_of(self, command: Command) -> str | None:
        """The name of a command that writes a download to standard output; None if it does not."""
        if id(command) not in self._downloads:
            self._downloads[id(command)] = self._find_download_of(command)
        return self._downloads[id(command)]

    def _find_download_of(self, command: Command) -> str | None:
        name = self.name(command)
        if to_a_file(command):
            return None
        if is_fetcher(name, command.arguments):
            return name if prints(name, command.arguments) else None
        if name in RUNNERS and (
            inner := next((base_name(text) for text in command.arguments if base_name(text) in ("curl", "wget")), None)
        ):
            return inner
        if interpreter_of(name) and any(map(fetches_inline, command.arguments)):
            return name
        if (name in _SAYS or name == "cat") and (source := self._passed_on(command)):
            return source
        if not command.words or command.words[-1].text.startswith("{") or name in RUNNERS or name in SHELLS:
            return self._download_in(command.nested)
        return None

    def _passed_on(self, command: Command) -> str | None:
        """The name of a downloading command in the words and redirections of a command that prints them."""
        for word in command.effective[1:]:
            if source := self._download_in(word.nested) or self._download_held_by(word):
                return source
        for redirection in command.redirections:
            if source := self._download_in(redirection.target.nested):
                return source
        return None

    def _download_in(self, nested: Iterable[Nested]) -> str | None:
        """The name of a downloading command in nested scripts whose output is used."""
        for inner in nested:
            for pipeline in inner.pipelines:
                if pipeline.commands and to_a_file(pipeline.commands[-1]):
                    continue
                for command in pipeline.commands:
                    if source := self._download_of(command):
                        return source
                    hands_on = not command.words or self.name(command) in ("create", "getstring")
                    if hands_on and (source := self._download_in(command.nested)):
                        return source
        return None

    def _download_held_by(self, word: Word) -> str | None:
        return next((f"${item.name}" for item in word.expansions if item.name in self._fetched), None)

    # What runs it

    def _piped(self, pipeline: Pipeline) -> Iterator[Run]:
        source: str | None = None
        where = ""
        for number, command in enumerate(pipeline.commands):
            if source and (run := self._runs_input(command)) is not None:
                runner, certain = run
                yield Run(pipeline.commands[0].line, f"{source} {where}| {runner}", sure=certain)
                return
            if source and self.name(command) == "apt-key" and "add" in command.arguments:
                yield Run(command.line, f"{source} {where}| apt-key add", sure=False, weak=True, message=UNCHECKED_KEY)
            if fetching := self._download_of(command):
                source, where = fetching, self._host_of(command)
            elif not number and self.name(command) == "wget" and not output_file(command.arguments):
                source, where = "wget", self._host_of(command)
                if len(pipeline.commands) > 1 and (run := self._runs_input(pipeline.commands[-1])) is not None:
                    yield Run(command.line, f"wget {where}| {run[0]}", sure=False)
                return

    def _runs_input(self, command: Command) -> tuple[str, bool] | None:
        """The name of a command that runs its standard input, and whether that is certain; None if it does not."""
        name, words = self.name(command), command.effective
        if shell := shell_of(command) or (words if name in SHELLS else ()):
            return self._shell_runs_input(command, shell, name)
        if (interpreter := interpreter_of(name)) is not None:
            return (name, True) if _reads_program(interpreter, command.arguments) else None
        if name in ("iex", "invoke-expression") and not command.arguments:
            return name, True
        if name == "source" and command.arguments and command.arguments[0] in _STANDARD_INPUT:
            return name, True
        if name == "sudo" and command.has("-s", "-i", "--shell", "--login"):
            return name, True
        if name in ("%", "foreach-object") and any(self._runs_each(part) for inner in command.nested for part in inner.pipelines):
            return "iex", True
        if name in ("at", "batch") and not command.has("-f"):
            return name, True
        if name == "crontab" and "-" in command.arguments:
            return name, False
        if (
            name in ("su", "ssh")
            and inline_of(words) is None
            and not any(item.via == "string" and item.pipelines for item in command.nested)
        ):
            return name, False
        if name in ("tee", "") or name in RUNNERS or name.startswith("{"):
            for inner in command.nested:
                if inner.via in ("process", "group", "string", "command"):
                    for pipeline in inner.pipelines:
                        if runner := self._first_runs_input(pipeline, grouped=inner.via == "group"):
                            return runner
        return None

    @staticmethod
    def _runs_each(pipeline: Pipeline) -> bool:
        return any(item.name in ("iex", "invoke-expression") and "$_" in item.arguments for item in pipeline.commands)

    def _shell_runs_input(self, command: Command, shell: tuple[Word, ...], name: str) -> tuple[str, bool] | None:
        texts = [word.text for word in shell[1:]]
        runner = base_name(shell[0].text) if not shell[0].text.startswith("$") else shell[0].text
        powershell = runner in POWERSHELLS
        if any(text[:1] == "-" and text[1:].isalpha() and "n" in text[1:] and len(text) < 5 for text in texts) and not powershell:
            return None  # only checks the syntax
        by_xargs = any(base_name(word.text) == "xargs" for word in command.words)
        text = inline_of(shell)
        if text is None or (powershell and text.strip() == "-"):
            if by_xargs:
                return (runner, True) if texts[-1:] == ["-c"] else None
            operands = operands_of(shell)
            return (runner, True) if not operands or operands[0] in _STANDARD_INPUT else None
        if by_xargs:
            replaced = next((word.text for word in command.words if re.fullmatch(r"-I.+|-i.*", word.text)), None)
            mark = (replaced or "")[2:] or "{}"
            return (f"xargs {runner} -c", False) if text.strip().startswith((mark, "$0", "$1", "$@", '"$@"')) else None
        if re.match(r"\s*(?:eval\s+)?[\"']?(?:\$\(cat\)|`cat`|\$\(</dev/stdin\)|\$input\b)", text):
            return runner, True
        for inner in command.nested:
            if inner.via == "string":
                for pipeline in inner.pipelines:
                    if inner_runner := self._first_runs_input(pipeline):
                        return inner_runner
        return None

    def _first_runs_input(self, pipeline: Pipeline, *, grouped: bool = False) -> tuple[str, bool] | None:
        """Like :meth:`_runs_input`, for nested commands that share the input of their parent."""
        for number, command in enumerate(pipeline.commands):
            if runner := self._runs_input(command):
                return runner
            name = self.name(command)
            if grouped and name == "eval":
                return name, False
            if grouped and name in SHELLS and (text := inline_of(command.effective)) and re.match(r"\s*\"?\$\w", text):
                return name, False
            if not number and name not in _THROUGH:
                return None
        return None

    def _in_command(self, command: Command) -> Iterator[Run]:
        """Downloaded code in the words and redirections of a command."""
        if command.effective:
            yield from self._into_process(command)
            yield from self._as_name(command)
            yield from self._as_script(command)
            yield from self._as_program(command)
            yield from self._as_expression(command)

    def _into_process(self, command: Command) -> Iterator[Run]:
        """``curl ... > >(sh)``."""
        if fetching := self._download_of(command):
            for item in command.redirections:
                if item.operator == ">" and any(self._first_runs_input(part) for inner in item.target.nested for part in inner.pipelines):
                    yield Run(command.line, f"{fetching} {self._host_of(command)}> a shell")

    def _as_name(self, command: Command) -> Iterator[Run]:
        """``$(curl ...)`` where the name of a command is expected."""
        first = command.effective[0]
        source = self._download_in(item for item in first.nested if item.via == "command") or self._download_held_by(first)
        if source and re.match(r"\s*(?:\$|`)", first.text) and self.name(command) not in ("curl", "wget"):
            yield Run(command.line, f"{source} {self._host_of(command)}in place of a command")

    def _as_script(self, command: Command) -> Iterator[Run]:
        """``bash <(curl ...)``, ``bash <<< "$(curl ...)"``, ``deno run https://...``."""
        name, words, shell = self.name(command), command.effective, shell_of(command)
        if name == "source" or interpreter_of(name) or shell:
            parts = [*words[1:2]] if name == "source" else [word for word in (shell or words)[1:] if not word.text.startswith("-")][:1]
            for word in parts if not shell or inline_of(shell) is None else ():
                if source := self._download_in(item for item in word.nested if item.via == "process"):
                    yield Run(command.line, f"{base_name(words[0].text) or '.'} <({source} {self._host_of(command)})")
        if (name == "source" or interpreter_of(name) or shell or name in RUNNERS) and self._runs_input(command):
            for item in command.redirections:
                if source := self._download_from(item):
                    yield Run(command.line, f"{name} {item.operator} {source} {self._host_of(command)}")
        yield from run_by_address(command, name)
        if name in INSTALLERS and (
            source := self._download_in(part for word in words[1:] for part in word.nested if part.via == "process")
        ):
            yield Run(command.line, f"{name} <({source} {self._host_of(command)})", saved=True, sure=False)

    def _download_from(self, item: Redirection) -> str | None:
        """The name of the downloading command whose output a redirection passes in."""
        if not item.operator.startswith("<"):
            return None
        if source := self._download_in(item.target.nested):
            return source
        held = item.operator in ("<<<", "<<", "<<-") and item.target.text.lstrip().startswith("$")
        return self._download_held_by(item.target) if held else None

    def _as_expression(self, command: Command) -> Iterator[Run]:
        """``iex (irm ...)``."""
        name = self.name(command)
        if name in ("iex", "invoke-expression", "create", "invokescript"):
            for word in command.effective[1:]:
                method = word.text.lower().lstrip(".")
                if (
                    source := self._download_in(word.nested)
                    or self._download_held_by(word)
                    or (method if method in POWERSHELL_FETCH else None)
                ):
                    yield Run(command.line, f"{name} ({source} {self._host_of(command)})")

    def _as_program(self, command: Command) -> Iterator[Run]:
        """``python -c "$(curl ...)"``."""
        name, words = self.name(command), command.effective
        interpreter = interpreter_of(name)
        if interpreter is None or shell_of(command):
            return
        letters, longs = CODE[interpreter]
        for word, following in itertools.pairwise(words):
            text = word.text
            if text in longs or (text[:1] == "-" and text[1:].isalpha() and text[-1] in letters):
                source = self._download_in(following.nested) or self._download_held_by(following)
                if source and re.match(r"\s*(?:\$|`)", following.text):
                    yield Run(command.line, f"{name} {text} $({source} {self._host_of(command)})")
                elif (runs := _RUNS.search(following.text)) and _FETCHES.search(following.text, runs.end()):
                    yield Run(command.line, f"{name} {text} runs what it fetches", sure=False)

    # What is saved first

    def _after_saving(self, pipeline: Pipeline) -> Iterator[Run]:
        runs_input = len(pipeline.commands) > 1 and self._runs_input(pipeline.commands[-1]) is not None
        for number, command in enumerate(pipeline.commands):
            if self._checks(pipeline, number):
                self._saved.clear()
                self._unpacked.clear()
            if (self._saved or self._unpacked) and command.effective:
                yield from self._what_was_saved(command, piped=runs_input and number + 1 < len(pipeline.commands))
        fetching = next(
            (command for command in pipeline.commands if self._download_of(command) or self.name(command) in ("wget", "curl", "aria2c")),
            None,
        )
        if fetching is not None and (parts := unpacked_by(pipeline.commands[-1], self.name(pipeline.commands[-1]))) is not None:
            source = f"{self.name(fetching)} {self._host_of(fetching)}fetches"
            self._note_unpacked((*parts, *addressed_files(fetching.arguments)), source)
        for command in pipeline.commands:
            name = self.name(command)
            files = saved_by(name, command.arguments)
            if fetching is not None and name in ("tee", "sponge"):
                files = [text for text in command.arguments if not text.startswith("-")]
            if fetching is not None:
                redirected = [item.target.text for item in command.redirections if item.operator in (">", ">|", "&>")]
                files = [file for file in redirected if not file.startswith(("&", "/dev/", ">("))] or files
            verified = any("--checksum" in text for text in command.arguments)
            for file in files if not verified else ():
                if file and not file.startswith("/dev/"):
                    source = self.name(fetching) if fetching else name
                    self._saved[base_of(file)] = f"{source} {self._host_of(fetching or command)}saves".strip()

    def _note_unpacked(self, parts: Iterable[str], source: str) -> None:
        for part in parts:
            if len(self._unpacked) < MAX_UNPACKED and base_of(part) not in _FOLDERS:
                self._unpacked[part] = source

    def _checks(self, pipeline: Pipeline, number: int) -> bool:
        command = pipeline.commands[number]
        for inner in command.nested:
            if any(_SUMS.fullmatch(self.name(item)) for part in inner.pipelines for item in part.commands):
                return True
        name = self.name(command)
        if name == "php" and any("hash_file(" in text or "hash_equals(" in text for text in command.arguments):
            return True
        if not _SUMS.fullmatch(name):
            return False
        if name.endswith("sum") or name == "shasum":
            return command.has("-c", "--check") or number + 1 < len(pipeline.commands) or bool(command.redirections)
        return name not in ("gh", "openssl", "gpg", "gpg2") or any(
            text in ("attestation", "dgst", "--verify", "verify", "sha256", "-verify", "--decrypt") for text in command.arguments
        )

    def _what_was_saved(self, command: Command, *, piped: bool) -> Iterator[Run]:
        """``piped``: another command runs its output."""
        name = self.name(command)
        files = files_run_by(command, name, piped=piped)
        if file := next((base for text in files if (base := base_of(text)) in self._saved), None):
            yield Run(command.line, f"{self._saved.pop(file)}, then runs {file}", saved=True, sure=False)
        elif (parts := unpacked_by(command, name)) is not None:
            if archive := next((base for text in parts if (base := base_of(text)) in self._saved), None):
                self._note_unpacked((archive, *parts), self._saved[archive])
        elif archive := next((part for part in self._unpacked for file in files if comes_from(file, part)), None):
            source = self._unpacked[archive]
            self._unpacked = {part: known for part, known in self._unpacked.items() if known != source}  # each download is told once
            yield Run(command.line, f"{source}, unpacks and runs {base_of(files[0])}", saved=True, sure=False, weak=True)


def _reads_program(interpreter: str, arguments: tuple[str, ...]) -> bool:
    letters, longs = CODE[interpreter]
    for text in arguments:
        if text in _STANDARD_INPUT:
            return True
        if text in longs or (text[:1] == "-" and text[1:2] != "-" and any(letter in letters for letter in text[1:])):
            return False
        if text == "--":
            return interpreter == "php"
        if not text.startswith("-") and not (interpreter in ("deno", "bun") and text == "run"):
            return False
    return interpreter not in ("deno", "bun")
