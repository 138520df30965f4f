"""Secrets that are passed to commands: as an option, as an argument, or on standard input."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider.audit.analysis.secrets.values import names_secret
from airflow_provider.audit.analysis.shell.fetching import CURL_VALUED, CURL_VALUED_LONG
from airflow_provider.audit.analysis.shell.options import options
from airflow_provider.audit.analysis.shell.script import Command, Pipeline, base_name

_OPTION = re.compile(r"-{1,2}[A-Za-z][A-Za-z_-]{2,}")
_PAIR = re.compile(r"(?:-D|/[dp]:|-{1,2}[\w-]+=)?(?P<name>[A-Za-z_][\w.:/-]*)=(?P<value>.+)", re.DOTALL)
_TEXT = frozenset({"echo", "printf", "grep", "sed", "awk", "[", "test"})
"""Commands whose arguments are text."""
_CONFIGURABLE = frozenset({"npm", "pnpm", "yarn", "aws", "git", "composer", "pip", "gcloud", "poetry", "rclone"})
"""Programs that set a value by ``config <name> <value>``."""


def passed_secrets(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Values that are passed to commands and may be secrets, each with a name."""
    for number, command in enumerate(pipeline.commands):
        yield from _by_name(command)
        yield from _in_headers(command)
        yield from (("password", value) for value in _by_tool(command.name, command.arguments))
        if _reads_password(command):
            yield from _on_input(command, pipeline.commands[number - 1] if number else None)


def _by_name(command: Command) -> Iterator[tuple[str, str]]:
    """Values of options and variables that have the name of a secret."""
    name, arguments = command.name, command.arguments
    configures = name in _CONFIGURABLE and "config" in "".join(arguments[:2])
    for text, following in pairwise((*arguments, "")):
        if text.startswith("-") and "=" not in text:
            if _OPTION.fullmatch(text) and names_secret(text.lstrip("-")) and not re.match(r"-|\w+=|(?:env|file|pass):", following):
                yield text.lstrip("-"), following
        elif text.startswith("--") and names_secret(text.partition("=")[0].lstrip("-")):
            yield text.partition("=")[0].lstrip("-"), text.partition("=")[2]
        elif name not in _TEXT and (match := _PAIR.fullmatch(text)):
            yield match["name"].rpartition(":")[2], match["value"]
        elif configures and names_secret(text):
            yield text.rpartition(":")[2], following


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


def _reads_password(command: Command) -> bool:
    if command.name in _READS or command.has(*_FROM_INPUT) or (command.name == "htpasswd" and command.has("-i")):
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


@dataclass(frozen=True, slots=True)
class _PasswordOption:
    """
    Options whose value is or contains a password.

    :param names: of the options.
    :param valued, valued_long: the options that take a value.
    :param part: the part of the value that is the password.
    :param word: a word that must be among the arguments, such as a subcommand.
    """

    names: tuple[str, ...]
    valued: str
    valued_long: frozenset[str] = frozenset()
    part: re.Pattern[str] = re.compile("(.*)", re.DOTALL)
    word: str | None = None

    def values(self, arguments: tuple[str, ...]) -> Iterator[str]:
        if self.word is None or self.word in arguments:
            for option, value in options(arguments, self.valued, self.valued_long):
                if option in self.names and (match := self.part.search(value)):
                    yield match[1]


def _of_short(letter: str, *tools: str) -> dict[str, _PasswordOption]:
    return dict.fromkeys(tools, _PasswordOption((f"-{letter}",), f"{letter}hnubs"))


_OPTIONS = {
    "curl": _PasswordOption(
        ("-u", "--user", "-U", "--proxy-user"), CURL_VALUED, CURL_VALUED_LONG, part=re.compile("^[^:]*:(.*)", re.DOTALL)
    ),
    **dict.fromkeys(
        ("http", "https", "xh", "lftp", "smbclient"),
        _PasswordOption(("-a", "--auth", "-u", "-U", "--user"), "auU", part=re.compile("[:,%](.+)")),
    ),
    **_of_short("p", "sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "ncftpput", "xfreerdp"),
    **_of_short("P", "sqlcmd", "unzip", "zip"),
    **_of_short("a", "redis-cli"),
    **_of_short("w", "ldapsearch", "ldapmodify", "ldapadd"),
    "twine": _PasswordOption(("-p", "--password"), "purci", word="upload"),
    **dict.fromkeys(("cf", "ibmcloud", "bx"), _PasswordOption(("-p",), "aupos", word="login")),
    "ncrack": _PasswordOption(("-p", "--pass"), "pu"),
    "svn": _PasswordOption(("--password",), "r", frozenset({"--username", "--password"})),
    **dict.fromkeys(
        ("docker", "podman", "buildah", "skopeo", "helm", "oc", "az", "nerdctl", "crane", "oras"),
        _PasswordOption(("-p",), "pu", word="login"),
    ),
    "dotnet": _PasswordOption(("-k", "-p"), "ksnup", word="nuget"),
    "poetry": _PasswordOption(("-p",), "pur", word="publish"),
    "uv": _PasswordOption(("-p", "-t"), "put", word="publish"),
    "pdm": _PasswordOption(("-P",), "Pur", word="publish"),
    "hatch": _PasswordOption(("-a", "--auth"), "aur", word="publish"),
    **dict.fromkeys(("netlify", "ntl"), _PasswordOption(("--auth",), "", frozenset({"--auth"}))),
    "ssh-keygen": _PasswordOption(("-N", "-P"), "NPtbfCmaOIVnz"),
    **dict.fromkeys(("useradd", "usermod"), _PasswordOption(("-p", "--password"), "pgGsudcekfL")),
    "codecov": _PasswordOption(("-t", "--token"), "tfFnsbCPR"),
    **dict.fromkeys(("vercel", "now", "doctl", "flyctl", "fly"), _PasswordOption(("-t",), "t")),
}
_PREFIXES = {
    **dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mysqlimport", "mysqlcheck", "7z"), "-p"),
    "openssl": "pass:",
    "sonar-scanner": "-Dsonar.login=",
}
"""Prefixes of arguments that are followed by a password."""


def _of_openssl(arguments: tuple[str, ...]) -> Iterator[str]:
    if arguments[:1] == ("enc",):
        yield from (value for option, value in pairwise(arguments) if option == "-k")


def _of_htpasswd(arguments: tuple[str, ...]) -> Iterator[str]:
    if any(text.startswith("-") and "b" in text for text in arguments):
        yield arguments[-1]


def _of_composer(arguments: tuple[str, ...]) -> Iterator[str]:
    if len(arguments) > 3 and any(text.startswith("http-basic.") for text in arguments):
        yield arguments[-1]


def _of_bundle(arguments: tuple[str, ...]) -> Iterator[str]:
    """``bundle config gems.example.com user:password``."""
    place, value = arguments[-2:] if len(arguments) > 2 and arguments[0] == "config" else ("", "")
    if "." in place and "://" not in value and not place.startswith("mirror"):
        yield value.partition(":")[2]


def _of_nuget(arguments: tuple[str, ...]) -> Iterator[str]:
    if len(arguments) > 1 and arguments[0].lower() == "setapikey":
        yield arguments[1]


def _of_securestring(arguments: tuple[str, ...]) -> Iterator[str]:
    if any(text.lower() == "-asplaintext" for text in arguments):
        yield next((text for text in arguments if not text.startswith("-")), "")


def _of_login(arguments: tuple[str, ...]) -> Iterator[str]:
    if len(arguments) == 2 and arguments[0] in ("login", "auth") and not arguments[1].startswith("-"):
        yield arguments[1]


def _of_curl(arguments: tuple[str, ...]) -> Iterator[str]:
    """``-u "key:"``: a key in place of the user."""
    for option, value in options(arguments, CURL_VALUED, CURL_VALUED_LONG):
        user, colon, password = value.partition(":")
        if (
            option in ("-u", "--user")
            and colon
            and password in ("", "x", "X", "api_token", "x-oauth-basic")
            and _KEY.fullmatch(user)
            and re.search(r"\d", user)
        ):
            yield user


def _of_oracle(arguments: tuple[str, ...]) -> Iterator[str]:
    """``sqlplus user/password@db``."""
    for text in arguments:
        if match := re.fullmatch(r"(?:userid=)?[A-Za-z]\w{0,60}/([^\s/@]{1,128})(?:@\S*)?", text):
            yield match[1]


def _of_cf(arguments: tuple[str, ...]) -> Iterator[str]:
    if arguments[:1] == ("auth",) and len(arguments) > 2:
        yield arguments[2]


_KEYCHAIN = {
    "create-keychain": "-p", "unlock-keychain": "-p", "import": "-P", "export": "-P", "set-key-partition-list": "-k",
    "add-generic-password": "-w", "add-internet-password": "-w",
}  # fmt: skip
"""Subcommands of macOS's ``security``, and their options with a password."""


def _of_security(arguments: tuple[str, ...]) -> Iterator[str]:
    option = _KEYCHAIN.get(arguments[0]) if arguments else None
    yield from (value for name, value in pairwise(arguments) if name == option)


def _of_gh(arguments: tuple[str, ...]) -> Iterator[str]:
    """``gh secret set NAME --body value``."""
    if arguments[:2] == ("secret", "set"):
        yield from (value for name, value in pairwise(arguments) if name in ("-b", "--body"))
        yield from (text.partition("=")[2] for text in arguments if text.startswith("--body="))


def _of_putty(arguments: tuple[str, ...]) -> Iterator[str]:
    yield from (value for option, value in pairwise(arguments) if option == "-pw")


_SQL = re.compile(r"\b(?:identified (?:with \w{1,60} )?by|password)\s{1,5}(?:=\s{0,5})?'([^']{1,256})'", re.IGNORECASE)


def _of_sql(arguments: tuple[str, ...]) -> Iterator[str]:
    """``psql -c "ALTER USER app PASSWORD '...'"``, ``mysql -e "CREATE USER app IDENTIFIED BY '...'"``."""
    for text in arguments:
        yield from _SQL.findall(text)


_LFTP = re.compile(r"\b(?:open\s{1,5}(?:\S{1,60}\s{1,5}){0,3}?-u|user)\s{1,5}[^\s,]{1,128}[,\s]\s{0,5}([^\s,;]{1,128})")


def _of_lftp(arguments: tuple[str, ...]) -> Iterator[str]:
    """``lftp -c "open -u user,password host"``."""
    for option, text in pairwise(arguments):
        if option in ("-c", "-e"):
            yield from _LFTP.findall(text)


_KEY = re.compile(r"[\w.-]{16,256}")
"""A user name that is a key."""
_OPERANDS: dict[str, Callable[[tuple[str, ...]], Iterator[str]]] = {
    "openssl": _of_openssl,
    "htpasswd": _of_htpasswd,
    **dict.fromkeys(("composer", "poetry"), _of_composer),
    **dict.fromkeys(("bundle", "bundler"), _of_bundle),
    "nuget": _of_nuget,
    "convertto-securestring": _of_securestring,
    **dict.fromkeys(("vault", "snyk", "cargo"), _of_login),
    "curl": _of_curl,
    **dict.fromkeys(("sqlplus", "expdp", "impdp", "sqlldr"), _of_oracle),
    "cf": _of_cf,
    "lftp": _of_lftp,
    "security": _of_security,
    "gh": _of_gh,
    **dict.fromkeys(("plink", "pscp", "psftp", "putty", "pageant"), _of_putty),
    **dict.fromkeys(("psql", "mysql", "mariadb", "sqlcmd", "clickhouse-client", "cqlsh", "cockroach"), _of_sql),
}


def _by_tool(name: str, arguments: tuple[str, ...]) -> Iterator[str]:
    """Passwords in options and operands of known programs."""
    if option := _OPTIONS.get(name):
        yield from option.values(arguments)
    if prefix := _PREFIXES.get(name):
        yield from (text[len(prefix) :] for text in arguments if text.startswith(prefix) and len(text) > len(prefix))
    if operands := _OPERANDS.get(name):
        yield from operands(arguments)
