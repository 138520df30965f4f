"""Programs that download: where they save, and from which host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from airflow_provider.audit.analysis.shell.options import options
from airflow_provider.audit.analysis.shell.script import Command

CURL_VALUED = "AbcCdDeEFHhKmoPQrtTuUwxXyYz"
CURL_VALUED_LONG = frozenset({
    "--data", "--data-ascii", "--data-binary", "--data-raw", "--data-urlencode", "--json", "--form", "--form-string", "--header", "--user",
    "--user-agent", "--referer", "--cookie", "--cookie-jar", "--url", "--url-query", "--output", "--request", "--write-out", "--config",
    "--proxy", "--proxy-user", "--proxy-header", "--range", "--upload-file", "--oauth2-bearer", "--resolve", "--connect-to",
})  # fmt: skip
URL = re.compile(r"(?:https?|ftp)://[^\s\"'|)>]+", re.IGNORECASE)
POWERSHELL_FETCH = frozenset(
    {"iwr", "irm", "invoke-webrequest", "invoke-restmethod", "downloadstring", "downloaddata", "openread", "getstringasync"}
)
_POWERSHELL_SAVES = frozenset({"downloadfile", "start-bitstransfer"})
_STANDARD_OUTPUT = frozenset({"-", "/dev/stdout"})


@dataclass(frozen=True, slots=True)
class Run:
    """
    Downloaded code that is run.

    :param line: in its script.
    :param shown: names of the downloading and the running command and the host, without the rest of the line.
    :param saved: it was saved or unpacked first, and run without a check.
    :param sure: whether it definitely runs.
    :param weak: whether it is only likely, or does less harm than code.
    :param message: what is wrong, where it is not code that runs.
    """

    line: int
    shown: str
    saved: bool = False
    sure: bool = True
    weak: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """
    The options of a program that downloads.

    :param valued, valued_long: options that take a value.
    :param file: options that set the output file.
    :param remote_name: options that save under the last part of the URL.
    :param about: options that only ask for information.
    :param prints: whether it writes to standard output by default.
    :param output: names of a file that mean standard output.
    """

    valued: str
    valued_long: frozenset[str] = frozenset()
    file: tuple[str, ...] = ()
    remote_name: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    prints: bool = False
    output: frozenset[str] = _STANDARD_OUTPUT


_FETCHERS = {
    "curl": Fetcher(
        CURL_VALUED,
        CURL_VALUED_LONG,
        file=("-o", "--output"),
        remote_name=("-O", "--remote-name", "--remote-name-all"),
        about=("-V", "--version", "-I", "--head"),
        prints=True,
    ),
    "wget": Fetcher("aoitTwQOPUeIXDABRl", file=("-O", "--output-document")),
    "axel": Fetcher("onsHU", file=("-o", "--output"), output=frozenset()),
    "aria2c": Fetcher("odxsjk", file=("-o", "--out"), output=frozenset()),
}
_ALWAYS_PRINT = frozenset({"http", "https", "xh", "lynx", "w3m", "ftp", "links", "get", "lwp-request", "nc", "ncat"})
_CLOUD_FETCH = (
    {"aws", "s3", "cp", "-"},
    {"gsutil", "cat"},
    {"gcloud", "storage", "cat"},
    {"gh", "api"},
    {"mc", "cat"},
    {"gsutil", "cp", "-"},
)
"""Words of commands that download to standard output."""
_SAVES_INLINE = re.compile(
    r"\b(?:copy|urlretrieve)\(\s{0,5}['\"](?:https?|ftp)://[^'\"]{1,500}['\"]\s{0,5},\s{0,5}['\"]([^'\"]{1,200})"
    r"|\bfile_put_contents\(\s{0,5}['\"]([^'\"]{1,200})['\"]\s{0,5},\s{0,5}(?:file_get_contents|fopen)\(\s{0,5}['\"]https?://",
    re.IGNORECASE,
)
_FETCHES_INLINE = re.compile(
    r"\b(?:readfile|file_get_contents|urlopen|requests\.get|fetch|https?\.get|URI\.open|URI\.parse|getprint)\b[^\n]{0,20}['\"]https?://",
    re.IGNORECASE,
)
"""Programs in arguments that save or print a download."""


def is_fetcher(name: str, arguments: tuple[str, ...]) -> bool:
    """Whether a command downloads something."""
    if name in _FETCHERS or name in POWERSHELL_FETCH or name in _ALWAYS_PRINT or (name == "fetch" and "-" in arguments):
        return True
    words = {name, *arguments}
    return any(cloud <= words for cloud in _CLOUD_FETCH)


def prints(name: str, arguments: tuple[str, ...]) -> bool:
    """Whether a downloading command writes to standard output."""
    if name in POWERSHELL_FETCH:
        return not any(_is_parameter(text, "-outfile") for text in arguments)
    fetcher = _FETCHERS.get(name)
    if fetcher is None:
        return True
    pairs = list(options(arguments, fetcher.valued, fetcher.valued_long))
    names = {option for option, _ in pairs}
    if not names.isdisjoint(fetcher.remote_name):
        return False
    if not names.isdisjoint(fetcher.about) and not URL.search(" ".join(arguments)):
        return False
    files = [value for option, value in pairs if option in fetcher.file]
    return fetcher.output.issuperset(files) if files else fetcher.prints


def saved_by(name: str, arguments: tuple[str, ...]) -> list[str]:
    """The files that a command saves downloads in."""
    if name in ("curl", "wget") and any(_is_parameter(text, "-outfile") for text in arguments):
        name = "iwr"  # aliases in PowerShell
    if fetcher := _FETCHERS.get(name):
        pairs = list(options(arguments, fetcher.valued, fetcher.valued_long))
        files = [value for option, value in pairs if option in fetcher.file]
        by_address = any(option in fetcher.remote_name for option, _ in pairs) or not (files or fetcher.prints)
        return [file for file in files if file != "-"] + (addressed_files(arguments) if by_address else [])
    if name.startswith(("php", "python")):
        return [match[1] or match[2] for text in arguments for match in _SAVES_INLINE.finditer(text)]
    if name in ("gh", "glab") and arguments[:2] == ("release", "download"):
        return [value for option, value in options(arguments[2:], "pORD") if option in ("-p", "--pattern", "-O", "--output")]
    if name == "certutil" and any(text.lower() in ("-urlcache", "/urlcache") for text in arguments):
        return [text for text in arguments[-1:] if "://" not in text] or addressed_files(arguments)
    if name == "bitsadmin" and any("://" in text for text in arguments):
        return list(arguments[-1:])
    if name == "lwp-download":
        return list(arguments[1:2]) or addressed_files(arguments)
    if name in POWERSHELL_FETCH or name in _POWERSHELL_SAVES:
        named = [value for text, value in pairwise(arguments) if _is_parameter(text, "-outfile") or _is_parameter(text, "-destination")]
        return named or (list(arguments[1:2]) if name in _POWERSHELL_SAVES else [])
    return []


def output_file(arguments: tuple[str, ...]) -> str | None:
    """The output file of wget."""
    wget = _FETCHERS["wget"]
    return next((value for option, value in options(arguments, wget.valued) if option in wget.file), None)


def _is_parameter(text: str, name: str) -> bool:
    """Whether this is the PowerShell parameter, which may be abbreviated."""
    prefix = text.lower().partition(":")[0]
    return len(prefix) > 3 and name.startswith(prefix)


def addressed_files(arguments: Iterable[str]) -> list[str]:
    """The last part of each address."""
    return [text.partition("?")[0].partition("#")[0].rsplit("/", 1)[-1] for text in arguments if "://" in text or "/" in text]


def to_a_file(command: Command) -> bool:
    """Whether the output of a command goes into a file."""
    return any(
        item.operator in (">", ">>", ">|", "&>") and not item.target.text.startswith(("&", "/dev/stdout", "/dev/fd", ">("))
        for item in command.redirections
    )


def host_of(command: Command) -> str:
    """Host of the first URL in a command and a space; empty if there is none."""
    for text in _texts(command):
        if match := URL.search(text):
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
    """Whether it is only a check, such as a request to localhost, or one that drops the answer."""
    addresses = [match[0] for text in command.arguments for match in URL.finditer(text)]
    local = [re.match(r"\w+://(?:localhost|127\.|\[::1\]|0\.0\.0\.0)", address) for address in addresses]
    bare = any(re.match(r"(?:localhost|127\.0\.0\.1)(?:[:/]|$)", text) for text in command.arguments)
    dropped = any(
        value == "/dev/null" for option, value in options(command.arguments, CURL_VALUED, CURL_VALUED_LONG) if option in ("-o", "--output")
    )
    return (bool(addresses) and all(local)) or (bare and not addresses) or dropped or command.has("-I", "--head", "--spider")


def fetches_inline(text: str) -> bool:
    """Whether a program in an argument fetches something, most likely to print it."""
    return _FETCHES_INLINE.search(text) is not None and not _SAVES_INLINE.search(text)
