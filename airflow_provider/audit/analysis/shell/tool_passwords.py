"""Passwords in options and operands of programs that are known by their name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider.audit.analysis.secrets.values import names_secret
from airflow_provider.audit.analysis.shell.fetching import CURL_VALUED, CURL_VALUED_LONG
from airflow_provider.audit.analysis.shell.inner_shells import SHELLS
from airflow_provider.audit.analysis.shell.options import options


@dataclass(frozen=True, slots=True)
class _PasswordOption:
    """
    Options whose value is or contains a password.

    :param names: of the options.
    :param valued, valued_long: the options that take a value.
    :param part: the part of the value that is the password.
    :param word: words of which one must be among the arguments, such as a subcommand; none for no condition.
    """

    names: tuple[str, ...]
    valued: str
    valued_long: frozenset[str] = frozenset()
    part: re.Pattern[str] = re.compile("(.*)", re.DOTALL)
    word: tuple[str, ...] = ()

    def values(self, arguments: tuple[str, ...]) -> Iterator[str]:
        if not self.word or any(word in arguments for word in self.word):
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
    **_of_short(
        "p",
        "sshpass",
        "mongo",
        "mongosh",
        "mongodump",
        "mongorestore",
        "mongoexport",
        "mongoimport",
        "ncftpput",
        "ncftpget",
        "xfreerdp",
        "rabbitmqadmin",
        "psexec",
        "altool",
        "itmstransporter",
        "cqlsh",
    ),
    **_of_short("P", "sqlcmd", "osql", "isql", "bcp", "unzip", "zip"),
    **_of_short("a", "redis-cli", "valkey-cli"),
    **_of_short("w", "ldapsearch", "ldapmodify", "ldapadd"),
    "twine": _PasswordOption(("-p", "--password"), "purci", word=("upload",)),
    **dict.fromkeys(("cf", "ibmcloud", "bx"), _PasswordOption(("-p",), "aupos", word=("login",))),
    "ncrack": _PasswordOption(("-p", "--pass"), "pu"),
    "svn": _PasswordOption(("--password",), "r", frozenset({"--username", "--password"})),
    **dict.fromkeys(
        ("docker", "podman", "buildah", "skopeo", "helm", "oc", "nerdctl", "crane", "oras"),
        _PasswordOption(("-p",), "pu", word=("login",)),
    ),
    "az": _PasswordOption(("-p",), "pu", word=("login", "server", "flexible-server", "mi")),
    "xcrun": _PasswordOption(("-p", "--password"), "puft", word=("altool",)),
    "dotnet": _PasswordOption(("-k", "-p"), "ksnup", word=("nuget",)),
    "poetry": _PasswordOption(("-p",), "pur", word=("publish",)),
    "uv": _PasswordOption(("-p", "-t"), "put", word=("publish",)),
    "pdm": _PasswordOption(("-P",), "Pur", word=("publish",)),
    "hatch": _PasswordOption(("-a", "--auth"), "aur", word=("publish",)),
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


_AFTER = {
    **dict.fromkeys(("plink", "pscp", "psftp", "putty", "pageant"), ("-pw",)),
    "signtool": ("/p", "-p"),
    "schtasks": ("/rp", "/p"),
    "certutil": ("-p",),
    "pvk2pfx": ("-pi", "-po"),
    "sc": ("password=",),
}
"""Words of programs, most of them of Windows, that are followed by a password."""


def _of_windows(arguments: tuple[str, ...], words: tuple[str, ...]) -> Iterator[str]:
    yield from (value for word, value in pairwise(arguments) if word.lower() in words and not value.startswith(("/", "-")))


_NO_PASSWORD = re.compile(r"[A-Za-z]:|\*|/.*|\\.*", re.DOTALL)
"""Operands of ``net use`` that are a drive, a share, or a question."""


def _of_net(arguments: tuple[str, ...]) -> Iterator[str]:
    r"""``net use x: \\\\host\\share password /user:name``, ``net user name password /add``."""
    kind, rest = arguments[0].lower() if arguments else "", arguments[1:]
    if kind == "use":
        yield from (text for text in rest if not _NO_PASSWORD.fullmatch(text))
    elif kind == "user":
        yield from (text for text in rest[1:2] if not _NO_PASSWORD.fullmatch(text))


def _of_nssm(arguments: tuple[str, ...]) -> Iterator[str]:
    """``nssm set service ObjectName user password``."""
    if len(arguments) > 4 and arguments[2].lower() == "objectname":
        yield arguments[4]


def _of_smbclient(arguments: tuple[str, ...]) -> Iterator[str]:
    r"""``smbclient //host/share password``."""
    if len(arguments) > 1 and arguments[0].startswith(("//", "\\\\")) and not arguments[1].startswith("-"):
        yield arguments[1]


def _of_rabbitmqctl(arguments: tuple[str, ...]) -> Iterator[str]:
    """``rabbitmqctl add_user name password``."""
    operands = [text for text in arguments if not text.startswith("-")]
    if operands[:1] in (["add_user"], ["change_password"], ["authenticate_user"]):
        yield from operands[2:3]


def _value_of(arguments: tuple[str, ...], name: str) -> str:
    """The value of a long option: ``--name value``, ``--name=value``."""
    joined = next((text.partition("=")[2] for text in arguments if text.startswith(f"{name}=")), "")
    return joined or next((value for option, value in pairwise(arguments) if option == name), "")


def _of_aws(arguments: tuple[str, ...]) -> Iterator[str]:
    """``aws ssm put-parameter --type SecureString --value ...``."""
    if "put-parameter" in arguments and (
        _value_of(arguments, "--type").lower() == "securestring" or names_secret(_value_of(arguments, "--name").rpartition("/")[2])
    ):
        yield _value_of(arguments, "--value")


def _of_az(arguments: tuple[str, ...]) -> Iterator[str]:
    """``az keyvault secret set --value ...``."""
    if arguments[:3] == ("keyvault", "secret", "set"):
        yield _value_of(arguments, "--value")


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
    "net": _of_net,
    "nssm": _of_nssm,
    "smbclient": _of_smbclient,
    "rabbitmqctl": _of_rabbitmqctl,
    "aws": _of_aws,
    "az": _of_az,
    **dict.fromkeys(("psql", "mysql", "mariadb", "sqlcmd", "clickhouse-client", "cqlsh", "cockroach"), _of_sql),
}


def by_tool(name: str, arguments: tuple[str, ...]) -> Iterator[str]:
    """Passwords in options and operands of known programs."""
    if name in SHELLS and any("codecov" in text for text in arguments):
        name = "codecov"  # whose uploader is a script
    if option := _OPTIONS.get(name):
        yield from option.values(arguments)
    if prefix := _PREFIXES.get(name):
        yield from (text[len(prefix) :] for text in arguments if text.startswith(prefix) and len(text) > len(prefix))
    if words := _AFTER.get(name):
        yield from _of_windows(arguments, words)
    if operands := _OPERANDS.get(name):
        yield from operands(arguments)
