"""Code that a script fetches and runs at once: what comes out of ``curl`` and goes into a shell, by whatever way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider.audit.analysis.shell.options import options
from airflow_provider.audit.analysis.shell.script import (
    POWERSHELLS,
    RUNNERS,
    SHELLS,
    Command,
    Nested,
    Pipeline,
    Script,
    Word,
    base_name,
    inline_of,
    operands_of,
    shell_of,
)

CURL_VALUED = "AbcCdDeEFHhKmoPQrtTuUwxXyYz"
CURL_VALUED_LONG = frozenset({
    "--data", "--data-ascii", "--data-binary", "--data-raw", "--data-urlencode", "--json", "--form", "--form-string", "--header", "--user",
    "--user-agent", "--referer", "--cookie", "--cookie-jar", "--url", "--url-query", "--output", "--request", "--write-out", "--config",
    "--proxy", "--proxy-user", "--proxy-header", "--range", "--upload-file", "--oauth2-bearer", "--resolve", "--connect-to",
})  # fmt: skip
WGET_VALUED = "aoitTwQOPUeIXDABRl"
_POWERSHELL_FETCH = frozenset(
    {"iwr", "irm", "invoke-webrequest", "invoke-restmethod", "downloadstring", "downloaddata", "openread", "getstringasync"}
)
_SAVES = frozenset({"downloadfile", "start-bitstransfer"})
_PLAIN_FETCH = frozenset({"http", "https", "xh", "lynx", "w3m", "fetch", "ftp", "links", "get", "lwp-request"})
_CLOUD_FETCH = (
    {"aws", "s3", "cp", "-"},
    {"gsutil", "cat"},
    {"gcloud", "storage", "cat"},
    {"gh", "api"},
    {"mc", "cat"},
    {"gsutil", "cp", "-"},
)
_CODE = {
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
"""Interpreters, with the options that bring the program, so that standard input is data."""
_THROUGH = frozenset({
    "cat", "tee", "tr", "sed", "awk", "gawk", "grep", "egrep", "head", "tail", "cut", "sort", "uniq", "rev", "base64", "openssl",
    "gunzip", "gzip", "zcat", "xz", "bunzip2", "iconv", "dos2unix", "envsubst", "jq", "yq", "pv", "out-string", "select-object",
})  # fmt: skip
_SUMS = re.compile(
    r"(?:sha\d*|md5|b2|b3|ck)sums?|shasum|gsha\d+sum|rhash|openssl|gpgv?2?|cosign|minisign|signify|get-filehash|gh|slsa-verifier|sha\d+|digest"
)
_SAYS = frozenset({"echo", "printf", "write-output", "write-host"})
_STANDARD_INPUT = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_PHP_COPY = re.compile(r"\bcopy\(\s*['\"](?:https?|ftp)://[^'\"]+['\"]\s*,\s*['\"]([^'\"]+)", re.IGNORECASE)
_URL = re.compile(r"(?:https?|ftp)://[^\s\"'|)>]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Run:
    """
    Fetched code that is run.

    :param line: in its script.
    :param shown: fetching and running commands and the host, without anything else of the line.
    :param saved: it was saved first, and nothing was compared between.
    :param sure: whether it is certain that it runs.
    """

    line: int
    shown: str
    saved: bool = False
    sure: bool = True


class Downloads:
    """What scripts of one action fetch; they are told in the order in which they run, since one may run what another saved."""

    def __init__(self) -> None:
        self._literals: dict[str, str] = {}
        self._fetched: set[str] = set()
        self._saved: dict[str, str] = {}

    def runs(self, script: Script) -> Iterator[Run]:
        """Give each place where fetched code runs; a line may come more than once."""
        for assignment in script.assignments:
            if assignment.value.literal:
                self._literals[assignment.name] = assignment.value.text
            if self._gives(assignment.value.nested):
                self._fetched.add(assignment.name)
        for pipeline in script.every_pipeline():
            yield from self._piped(pipeline)
            for command in pipeline.commands:
                yield from self._given(command)
            yield from self._after_saving(pipeline)

    # What fetches

    def name(self, command: Command) -> str:
        """What really runs, also where the name is in a variable, or asked of ``which``."""
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

    def _fetches(self, command: Command) -> str | None:
        """The name of a command whose standard output is what it fetched."""
        name, arguments = self.name(command), command.arguments
        if any(
            item.operator in (">", ">>", "&>", ">|") and not item.target.text.startswith(("/dev/stdout", "/dev/fd", "&", ">("))
            for item in command.redirections
        ):
            return None
        if name == "curl":
            given = list(options(arguments, CURL_VALUED, CURL_VALUED_LONG))
            if any(option in ("-O", "--remote-name", "--remote-name-all") for option, _ in given):
                return None
            files = [value for option, value in given if option in ("-o", "--output")]
            if any(option in ("-V", "--version", "-I", "--head") for option, _ in given) and not _URL.search(" ".join(arguments)):
                return None
            return name if all(file in ("-", "/dev/stdout") for file in files) else None
        if name == "wget":
            files = [value for option, value in options(arguments, WGET_VALUED) if option in ("-O", "--output-document")]
            return name if files and all(file in ("-", "/dev/stdout") for file in files) else None
        if name in _POWERSHELL_FETCH:
            return None if any(_is_parameter(text, "-outfile") for text in arguments) else name
        if name in _PLAIN_FETCH and (name != "fetch" or "-" in arguments):
            return name
        if name in ("aria2c", "nc", "ncat") and "|" not in arguments:
            return name if name != "aria2c" else None
        words = {name, *arguments}
        if any(wanted <= words for wanted in _CLOUD_FETCH):
            return name
        if name in RUNNERS and (inner := next((base_name(text) for text in arguments if base_name(text) in ("curl", "wget")), None)):
            return inner
        if name in _SAYS or name == "cat":
            for word in command.effective[1:]:
                if (found := self._gives(word.nested)) or (found := self._holds(word)):
                    return found
            for redirection in command.redirections:
                if found := self._gives(redirection.target.nested):
                    return found
        if not command.words or command.words[-1].text.startswith("{") or name in RUNNERS or name in SHELLS:
            return self._gives(command.nested)
        return None

    def _gives(self, nested: Iterable[Nested]) -> str | None:
        """What fetches within scripts whose output is used."""
        for inner in nested:
            for pipeline in inner.pipelines:
                if pipeline.commands and _to_a_file(pipeline.commands[-1]):
                    continue
                for command in pipeline.commands:
                    if found := self._fetches(command):
                        return found
                    hands_on = not command.words or self.name(command) in ("create", "getstring")
                    if hands_on and (found := self._gives(command.nested)):
                        return found
        return None

    def _holds(self, word: Word) -> str | None:
        return next((f"${item.name}" for item in word.expansions if item.name in self._fetched), None)

    # What runs it

    def _piped(self, pipeline: Pipeline) -> Iterator[Run]:
        source: str | None = None
        where = ""
        for number, command in enumerate(pipeline.commands):
            if source and (how := self._runs_input(command)) is not None:
                runner, sure = how
                yield Run(pipeline.commands[0].line, f"{source} {where}| {runner}", sure=sure)
                return
            if found := self._fetches(command):
                source, where = found, _host(command)
            elif not number and self.name(command) == "wget" and not _output_file(command):
                source, where = "wget", _host(command)
                if len(pipeline.commands) > 1 and (how := self._runs_input(pipeline.commands[-1])) is not None:
                    yield Run(command.line, f"wget {where}| {how[0]}", sure=False)
                return

    def _runs_input(self, command: Command) -> tuple[str, bool] | None:
        """Whether a command runs what comes in: its name, and whether that is sure."""
        name, words = self.name(command), command.effective
        if shell := shell_of(command) or (words if name in SHELLS else ()):
            return self._shell_runs_input(command, shell, name)
        if (interpreter := _interpreter(name)) is not None:
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
                        if found := self._first_runs_input(pipeline, grouped=inner.via == "group"):
                            return found
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
                    if found := self._first_runs_input(pipeline):
                        return found
        return None

    def _first_runs_input(self, pipeline: Pipeline, *, grouped: bool = False) -> tuple[str, bool] | None:
        """As :meth:`_runs_input`, of the commands that share the input of what they are in."""
        for number, command in enumerate(pipeline.commands):
            if found := self._runs_input(command):
                return found
            name = self.name(command)
            if grouped and name == "eval":
                return name, False
            if grouped and name in SHELLS and (text := inline_of(command.effective)) and re.match(r"\s*\"?\$\w", text):
                return name, False
            if not number and name not in _THROUGH:
                return None
        return None

    def _given(self, command: Command) -> Iterator[Run]:
        """Fetched code in the words and redirections of a command."""
        name, words = self.name(command), command.effective
        if not words:
            return
        if fetching := self._fetches(command):
            for item in command.redirections:
                if item.operator == ">" and any(self._first_runs_input(part) for inner in item.target.nested for part in inner.pipelines):
                    yield Run(command.line, f"{fetching} {_host(command)}> a shell")
        first = words[0]
        found = self._gives(item for item in first.nested if item.via == "command") or self._holds(first)
        if found and re.match(r"\s*(?:\$|`)", first.text) and name not in ("curl", "wget"):
            yield Run(command.line, f"{found} {_host(command)}in place of a command")
        interpreter = _interpreter(name)
        shell = shell_of(command)
        if name == "source" or interpreter or shell:
            parts = [*words[1:2]] if name == "source" else [word for word in (shell or words)[1:] if not word.text.startswith("-")][:1]
            for word in parts if not shell or inline_of(shell) is None else ():
                if found := self._gives(item for item in word.nested if item.via == "process"):
                    yield Run(command.line, f"{base_name(words[0].text) or '.'} <({found} {_host(command)})")
            if self._runs_input(command):
                for item in command.redirections:
                    if item.operator.startswith("<"):
                        found = self._gives(item.target.nested)
                        if not found and item.operator in ("<<<", "<<", "<<-") and item.target.text.lstrip().startswith("$"):
                            found = self._holds(item.target)
                        if found:
                            yield Run(command.line, f"{name} {item.operator} {found} {_host(command)}")
        if name == "deno" and _runs_address(command.arguments):
            yield Run(command.line, f"{name} run {_host(command)}".strip(), sure=False)
        if interpreter and not shell:
            yield from self._as_program(command, interpreter, name)
        if name in ("iex", "invoke-expression", "create", "invokescript"):
            for word in words[1:]:
                method = word.text.lower().lstrip(".")
                if found := self._gives(word.nested) or self._holds(word) or (method if method in _POWERSHELL_FETCH else None):
                    yield Run(command.line, f"{name} ({found} {_host(command)})")

    def _as_program(self, command: Command, interpreter: str, name: str) -> Iterator[Run]:
        letters, longs = _CODE[interpreter]
        words = command.effective
        for word, following in itertools.pairwise(words):
            text = word.text
            if text in longs or (text[:1] == "-" and text[1:].isalpha() and text[-1] in letters):
                found = self._gives(following.nested) or self._holds(following)
                if found and re.match(r"\s*(?:\$|`)", following.text):
                    yield Run(command.line, f"{name} {text} $({found} {_host(command)})")
                elif re.search(
                    r"\b(?:exec|eval|system|Function)\b.*(?:urlopen|requests\.get|https?://|fetch\(|open-uri|file_get_contents)",
                    following.text,
                    re.DOTALL,
                ):
                    yield Run(command.line, f"{name} {text} runs what it fetches", sure=False)

    # What is saved first

    def _after_saving(self, pipeline: Pipeline) -> Iterator[Run]:
        for number, command in enumerate(pipeline.commands):
            if self._checks(pipeline, number):
                self._saved.clear()
            if self._saved and (file := self._runs_file(command, pipeline, number)):
                yield Run(command.line, f"{self._saved.pop(file)}, then runs {file}", saved=True, sure=False)
        fetching = next(
            (command for command in pipeline.commands if self._fetches(command) or self.name(command) in ("wget", "curl", "aria2c")), None
        )
        for command in pipeline.commands:
            name = self.name(command)
            files = _files(command, name)
            if fetching is not None and name in ("tee", "sponge"):
                files = [text for text in command.arguments if not text.startswith("-")]
            if fetching is not None and _to_a_file(command):
                files = [item.target.text for item in command.redirections if item.operator in (">", ">|", "&>")]
            for file in files:
                if file and not file.startswith("/dev/") and "--checksum" not in " ".join(command.arguments):
                    self._saved[_base(file)] = f"{self.name(fetching) if fetching else name} {_host(fetching or command)}saves".strip()

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

    def _runs_file(self, command: Command, pipeline: Pipeline, number: int) -> str | None:
        words = command.effective
        if not words:
            return None
        name = self.name(command)
        shell = shell_of(command)
        candidates: list[str] = []
        if shell and inline_of(shell) is None:
            candidates += operands_of(shell)[:1]
        elif name == "source" or _interpreter(name):
            letters = _CODE[_interpreter(name) or "tclsh"][0]
            rest = [text for text in command.arguments if text not in ("run",)]
            if not any(text[:1] == "-" and text[1:].isalpha() and text[-1] in letters for text in rest):
                candidates += [text for text in rest if not text.startswith("-")][:1]
        elif name in ("start-process", "&", "cmd", "call", "invoke-expression", "iex"):
            candidates += [text for text in command.arguments if not text.startswith("-")][:1]
        else:
            candidates.append(words[0].text)
        if shell or _interpreter(name):
            candidates += [item.target.text for item in command.redirections if item.operator == "<"]
        if number + 1 < len(pipeline.commands) and name in ("cat", "get-content", "gc", "type") and self._runs_input(pipeline.commands[-1]):
            candidates += command.arguments
        if (inline := inline_of(shell) if shell else " ".join(command.arguments) if name == "eval" else None) and (
            match := re.match(r"\s*(?:\$\(cat|`cat|\$\(<)\s*([^\s)`]+)", inline)
        ):
            candidates.append(match[1])
        return next((base for text in candidates if (base := _base(text)) in self._saved), None)


def _reads_program(interpreter: str, arguments: tuple[str, ...]) -> bool:
    letters, longs = _CODE[interpreter]
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


def _runs_address(arguments: tuple[str, ...]) -> bool:
    """Whether ``deno run`` is given an address as its program."""
    return arguments[:1] == ("run",) and bool(_URL.match(next((text for text in arguments[1:] if not text.startswith("-")), "")))


def _interpreter(name: str) -> str | None:
    plain = re.sub(r"[\d.]+$", "", name)
    return {"nodejs": "node", "pypy": "python"}.get(plain, plain) if plain in _CODE or plain in ("nodejs", "pypy") else None


def _is_parameter(text: str, name: str) -> bool:
    """Whether this is that parameter of PowerShell, which may be shortened."""
    given = text.lower().partition(":")[0]
    return len(given) > 3 and name.startswith(given)


def _to_a_file(command: Command) -> bool:
    return any(
        item.operator in (">", ">>", ">|", "&>") and not item.target.text.startswith(("&", "/dev/", ">(")) for item in command.redirections
    )


def _output_file(command: Command) -> str | None:
    return next((value for option, value in options(command.arguments, WGET_VALUED) if option in ("-O", "--output-document")), None)


def _files(command: Command, name: str) -> list[str]:
    """Where a command saves what it fetches."""
    arguments = command.arguments
    if name in ("curl", "wget") and any(_is_parameter(text, "-outfile") for text in arguments):
        name = "iwr"  # as PowerShell calls it too
    if name == "curl":
        given = list(options(arguments, CURL_VALUED, CURL_VALUED_LONG))
        files = [value for option, value in given if option in ("-o", "--output") and value != "-"]
        return files + (
            _of_addresses(arguments) if any(option in ("-O", "--remote-name", "--remote-name-all") for option, _ in given) else []
        )
    if name == "wget":
        file = _output_file(command)
        return _of_addresses(arguments) if file is None else [] if file == "-" else [file]
    if name == "php":
        return [match[1] for text in arguments for match in _PHP_COPY.finditer(text)]
    if name == "lwp-download":
        return list(arguments[1:2]) or _of_addresses(arguments)
    if name == "aria2c":
        return [value for option, value in options(arguments, "odxsjk") if option in ("-o", "--out")] or _of_addresses(arguments)
    if name in _POWERSHELL_FETCH or name in _SAVES:
        named = [
            value for text, value in itertools.pairwise(arguments) if _is_parameter(text, "-outfile") or _is_parameter(text, "-destination")
        ]
        return named or (list(arguments[1:2]) if name in _SAVES else [])
    return []


def _of_addresses(arguments: Iterable[str]) -> list[str]:
    return [text.partition("?")[0].partition("#")[0].rsplit("/", 1)[-1] for text in arguments if "://" in text or "/" in text]


def _base(file: str) -> str:
    return file.strip("\"'").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _host(command: Command) -> str:
    """Host of the first address in a command and a blank; empty if none is told."""
    for text in _texts(command):
        if match := _URL.search(text):
            try:
                return f"{urlsplit(match[0]).hostname or ''} ".lstrip()
            except ValueError:
                return ""
    return ""


def _texts(command: Command) -> Iterator[str]:
    for word in command.words:
        yield word.text
    for item in command.redirections:
        yield item.target.text


def only_asks(command: Command) -> bool:
    """Whether it only asks how something is: the machine itself, or without keeping the answer."""
    addresses = [match[0] for text in command.arguments for match in _URL.finditer(text)]
    here = [re.match(r"\w+://(?:localhost|127\.|\[::1\]|0\.0\.0\.0)", address) for address in addresses]
    bare = any(re.match(r"(?:localhost|127\.0\.0\.1)(?:[:/]|$)", text) for text in command.arguments)
    away = any(
        value == "/dev/null" for option, value in options(command.arguments, CURL_VALUED, CURL_VALUED_LONG) if option in ("-o", "--output")
    )
    return (bool(addresses) and all(here)) or (bare and not addresses) or away or command.has("-I", "--head", "--spider")
