"""Secrets that stand in Buddy actions, or get into their logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import pairwise

from airflow_provider.audit.analysis.secrets.shapes import MOST, Secret
from airflow_provider.audit.analysis.secrets.values import (
    names_secret,
    private_keys,
    secret_in,
    secret_named,
    secrets_shaped,
    secrets_within,
)
from airflow_provider.audit.analysis.shell.downloads import CURL_VALUED, CURL_VALUED_LONG
from airflow_provider.audit.analysis.shell.options import options
from airflow_provider.audit.analysis.shell.script import SHELLS, Command, Pipeline, Word, base_name, shell_of
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.commands import Commands
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

FIELDS = ("execute_commands", "setup_commands", "inline_commands", "commands", "entrypoint")


@rule(
    "BDY008",
    "Plain-text secret in variables",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("variables[].key", "variables[].value", "variables[].defaults", "variables[].encrypted"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names", "secrets.entropy"),
)
def secret_in_variable(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A variable that is not encrypted holds a secret: by its name (``DB_PASSWORD``), or by the shape of its value (keys, tokens, passwords in
    addresses). References, placeholders and examples are none. Of confidence low: weak values, and those that only look random.

    Why:
    Whoever may read the pipeline may read it, and it goes into logs and exports unmasked.

    Mend:
    Make the secret invalid, set a new one, and tick *encrypted*. A value that is no secret can be named in ``secrets.names``.

    Before:
    {"variables": [{"key": "DB_PASSWORD", "value": "correct-h0rse", "encrypted": false}]}

    After:
    {"variables": [{"key": "DB_PASSWORD", "value": "!encrypted kQ...", "encrypted": true}]}
    """
    if not action.gives("variables"):
        yield not_available("variables is not visible")
    for number, variable in enumerate(action.variables):
        if variable.encrypted or variable.type == "SSH_PUBLIC_KEY" or _is_no_secret(variable.key, settings):
            continue
        for field, value in (("value", variable.value), ("defaults", variable.defaults)):
            if value is None or (isinstance(value, (bool, int, float)) and not names_secret(variable.key)):
                continue
            if len(str(value)) > MOST:
                yield not_available("a value is too long to be looked at whole")
            if secret := secret_in(variable.key, str(value), entropy=settings.secrets.entropy):
                yield fail(
                    f"variables[{number}].{field}",
                    hidden(secret.kind, secret.value),
                    f"{variable.key} holds a secret and is not encrypted.",
                    confidence=secret.confidence,
                )
                break


def _is_no_secret(name: str, settings: AuditSettings) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in settings.secrets.names)


@rule(
    "BDY009",
    "Plain-text secret in commands",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.MEDIUM,
    reads=(*FIELDS, "loop"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names",),
)
def secret_in_commands(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A command holds a secret: of a known shape (confidence high), or as the value of a variable, option or header that is one by its name.

    Why:
    Whoever may read the pipeline may read it, and the log may show the command.

    Mend:
    Make the secret invalid, set a new one as an encrypted variable, and use ``$NAME`` in the command.

    Before:
    {"execute_commands": ["curl -u ci:correct-h0rse https://example.com"]}

    After:
    {"execute_commands": ["curl -u \"ci:$PASSWORD\" https://example.com"]}
    """
    if not action.gives(*FIELDS, "loop"):
        yield not_available("the commands are not visible")
        return
    if any(script.cut for script in action.scripts()):
        yield not_available("the commands are too long to be looked at whole")
    for script in action.scripts():
        seen: set[tuple[str, str]] = set()
        for path, secret in _secrets_of(script, settings):
            if not any(path == where and (secret.value in value or value in secret.value) for where, value in seen):
                seen.add((path, secret.value))
                message = f"A secret stands in the commands: {secret.kind}."
                yield fail(path, hidden(secret.kind, secret.value), message, confidence=secret.confidence)
    for number, value in enumerate(action.config.loop):
        for secret in secrets_shaped(value)[:1]:
            yield fail(
                f"loop[{number}]",
                hidden(secret.kind, secret.value),
                f"A secret stands in the loop: {secret.kind}.",
                confidence=secret.confidence,
            )


def _secrets_of(script: Commands, settings: AuditSettings) -> Iterator[tuple[str, Secret]]:
    """The surest first."""
    for match in private_keys(script.text):
        yield script.path_at(script.text.count("\n", 0, match.start()) + 1), Secret("Private Key", match[0], Confidence.HIGH)
    for number, line in enumerate(script.text.split("\n"), 1):
        for secret in secrets_shaped(line):
            if "Private Key" not in secret.kind and "PRIVATE KEY" not in secret.value:
                yield script.path_at(number), secret
    for number, line in enumerate(script.text.split("\n"), 1):
        if _WORTH.search(line):
            for secret in secrets_within(line):
                yield script.path_at(number), _less_sure(secret)
    for path, assignment in script.every_assignment():
        known = not assignment.value.literal or _is_no_secret(assignment.name, settings)
        if not known and (found := secret_named(assignment.name, assignment.value.text)):
            yield path, _less_sure(found)
    for path, pipeline in script.every_pipeline():
        for name, value in _given(pipeline):
            if not _is_no_secret(name, settings) and (found := secret_named(name, value)):
                yield path, _less_sure(found)


_WORTH = re.compile(r"pass|pwd|secret|token|key|bearer|basic", re.IGNORECASE)


def _less_sure(secret: Secret) -> Secret:
    return Secret(secret.kind, secret.value, min(secret.confidence, Confidence.MEDIUM, key=lambda level: level.rank))


_SHORT = {
    "sshpass": "p", "redis-cli": "a", "ldapsearch": "w", "ldapmodify": "w", "ldapadd": "w", "mongo": "p", "mongosh": "p", "mongodump": "p",
    "mongorestore": "p", "sqlcmd": "P", "ncftpput": "p", "unzip": "P", "zip": "P", "xfreerdp": "p",
}  # fmt: skip
_LOGINS = ("docker", "podman", "buildah", "skopeo", "helm", "oc", "az", "nerdctl", "crane", "oras")
_MYSQL = frozenset({
    "mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mysqlimport", "mysqlcheck",
})  # fmt: skip
_OPTION = re.compile(r"-{1,2}[A-Za-z][A-Za-z_-]{2,}")
_PAIR = re.compile(r"(?:-D|-{1,2}[\w-]+=)?(?P<name>[A-Za-z_][\w.:/-]*)=(?P<value>.+)", re.DOTALL)


def _given(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """What commands are given as secrets, each with a name for it."""
    for number, command in enumerate(pipeline.commands):
        name, arguments = command.name, command.arguments
        for at, text in enumerate(arguments):
            following = arguments[at + 1] if at + 1 < len(arguments) else ""
            if text.startswith("-") and "=" not in text:
                if _OPTION.fullmatch(text) and names_secret(text.lstrip("-")) and not re.match(r"-|\w+=|(?:env|file|pass):", following):
                    yield text.lstrip("-"), following
            elif text.startswith("--") and names_secret(text.partition("=")[0].lstrip("-")):
                yield text.partition("=")[0].lstrip("-"), text.partition("=")[2]
            elif name not in _TELLS and (match := _PAIR.fullmatch(text)):
                yield match["name"].rpartition(":")[2], match["value"]
            elif (
                name in ("npm", "pnpm", "yarn", "aws", "git", "composer", "pip", "gcloud")
                and "config" in "".join(arguments[:2])
                and names_secret(text)
            ):
                yield text.rpartition(":")[2], following
        yield from (("password", value) for value in _by_tool(name, arguments))
        if number and _reads_password(command) and pipeline.commands[number - 1].name in ("echo", "printf"):
            texts = [text for text in pipeline.commands[number - 1].arguments if not text.startswith("-")]
            yield "password", (texts[-1] if texts else "").removesuffix("\\n").rpartition(":" if name == "chpasswd" else "\0")[2]
        if _reads_password(command):
            for item in command.redirections:
                if item.operator == "<<<":
                    yield "password", item.target.text


_TELLS = frozenset({"echo", "printf", "grep", "sed", "awk", "[", "test"})


def _by_tool(name: str, arguments: tuple[str, ...]) -> Iterator[str]:
    if name == "curl":
        for option, value in options(arguments, CURL_VALUED, CURL_VALUED_LONG):
            if option in ("-u", "--user", "-U", "--proxy-user") and ":" in value:
                yield value.partition(":")[2]
    elif name in ("http", "https", "xh", "lftp", "smbclient"):
        for option, value in options(arguments, "auU"):
            if option in ("-a", "--auth", "-u", "-U", "--user") and (match := re.search(r"[:,%](.+)", value)):
                yield match[1]
    elif name in _MYSQL:
        yield from (text[2:] for text in arguments if text.startswith("-p") and len(text) > 2)
    elif name in _SHORT:
        for option, value in options(arguments, _SHORT[name] + "hnubs"):
            if option == f"-{_SHORT[name]}":
                yield value
    elif name in _LOGINS and "login" in arguments:
        for option, value in options(arguments, "pu"):
            if option == "-p":
                yield value
    elif name == "htpasswd" and any(text.startswith("-") and "b" in text for text in arguments):
        yield arguments[-1]
    elif name == "openssl":
        yield from (text[5:] for text in arguments if text.startswith("pass:"))
        yield from (value for option, value in pairwise(arguments) if option == "-k" and arguments[0] == "enc")
    elif name == "sonar-scanner":
        yield from (text.partition("=")[2] for text in arguments if text.startswith("-Dsonar.login="))
    elif name == "dotnet" and "nuget" in arguments:
        yield from (value for option, value in options(arguments, "ks") if option == "-k")
    elif name == "composer" and len(arguments) > 3 and any(text.startswith("http-basic.") for text in arguments):
        yield arguments[-1]
    elif name == "7z":
        yield from (text[2:] for text in arguments if text.startswith("-p") and len(text) > 2)
    elif name == "convertto-securestring" and any(text.lower() == "-asplaintext" for text in arguments):
        yield next((text for text in arguments if not text.startswith("-")), "")
    elif name in ("vault", "snyk", "cargo") and arguments[:1] in (("login",), ("auth",)) and len(arguments) == 2:
        yield arguments[1]


def _reads_password(command: Command) -> bool:
    return command.has("--password-stdin", "--with-token", "--stdin", "--token-stdin") or command.name == "chpasswd"


@rule(
    "BDY012",
    "Secret printed, or trace mode on",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=(*FIELDS, "shell", "variables"),
    needs=("EXECUTION_INFO",),
)
def secret_printed(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The commands print all variables, one that is a secret by its name or is encrypted, a file of secrets, or what they fetch from a vault;
    or the shell prints each command with its values (``set -x``). What goes into a file or into another command is not printed.

    Why:
    The log is kept, is read by more people than the variables, and is fetched by others, such as Airflow. Masking misses what is encoded.

    Mend:
    Print whether it is set, not what it is: ``echo "${TOKEN:+set}"``. Turn tracing on for the lines that need it only.

    Before:
    {"execute_commands": ["set -x", "echo $API_TOKEN"]}

    After:
    {"execute_commands": ["echo \"token: ${API_TOKEN:+set}\""]}
    """
    if not action.gives(*FIELDS):
        yield not_available("the commands are not visible")
        return
    if any(script.cut for script in action.scripts()):
        yield not_available("the commands are too long to be looked at whole")
    encrypted = frozenset(variable.key for variable in action.variables if variable.encrypted)
    for commands in action.scripts():
        seen: set[tuple[str, str]] = set()
        for path, what, confidence in _printed(commands, encrypted):
            if (path, what) not in seen:
                seen.add((path, what))
                yield fail(path, what, f"The log will show it: {what}.", confidence=confidence)


def _printed(commands: Commands, encrypted: frozenset[str]) -> Iterator[tuple[str, str, Confidence | None]]:
    for path, command in commands.every_command():
        if what := _traces(command):
            yield path, what, None
    for before, script in commands.parsed:
        captured = {id(item) for assignment in script.assignments for nested in assignment.value.nested for item in nested.pipelines}
        for pipeline, number in _visible(script.pipelines, captured):
            command = pipeline.commands[number]
            path = commands.path_at(before + command.line)
            yield from ((path, what, confidence) for what, confidence in _tells(command, pipeline.commands[number + 1 :], encrypted))


def _traces(command: Command) -> str | None:
    arguments = command.arguments
    if command.name == "set":
        for at, text in enumerate(arguments):
            if text in ("--", "-") or text[:1] not in "-+":
                break
            if text[:1] == "-" and "x" in text[1:] and text[1:].isalpha():
                return "set -x"
            if text[:1] == "-" and text.endswith("o") and arguments[at + 1 : at + 2] == ("xtrace",):
                return "set -o xtrace"
        return "set -o xtrace" if re.search(r"(?:^| )-\w*o xtrace\b", " ".join(arguments)) else None
    if command.name == "set-psdebug" and any(text in ("1", "2") for text in arguments):
        return "Set-PSDebug -Trace"
    shell = shell_of(command)
    for word in shell[1:]:
        text = word.text
        if text == "xtrace":
            return f"{base_name(shell[0].text)} -o xtrace"
        if text == "pipefail":
            continue
        if not text.startswith("-"):
            break
        if text[1:].isalpha() and "x" in text[1:] and len(text) < 7 and base_name(shell[0].text) in SHELLS - {"pwsh", "powershell"}:
            return f"{base_name(shell[0].text)} -x"
    return None


_THROUGH = frozenset({
    "cat", "tee", "sort", "uniq", "head", "tail", "cut", "tr", "sed", "base64", "rev", "fold", "xxd", "od", "hexdump", "column",
    "nl", "less", "more", "jq", "awk", "out-string", "out-host", "write-host",
})  # fmt: skip


def _visible(pipelines: Iterable[Pipeline], captured: set[int]) -> Iterator[tuple[Pipeline, int]]:
    """Commands whose output is in the log: not those in ``$(...)``, before another command that takes it, or with a file to write to."""
    waiting = [pipeline for pipeline in pipelines if id(pipeline) not in captured]
    while waiting:
        pipeline = waiting.pop(0)
        for number, command in enumerate(pipeline.commands):
            rest = pipeline.commands[number + 1 :]
            if any(_to_a_file(item) for item in (command, *rest)) and not any(item.name == "tee" for item in rest):
                continue
            if all(item.name in _THROUGH or item.name in ("grep", "egrep", "findstr", "select-string") for item in rest):
                yield pipeline, number
                for nested in command.nested:
                    if nested.via in ("group", "string", "heredoc"):
                        waiting.extend(item for item in nested.pipelines if id(item) not in captured)


def _to_a_file(command: Command) -> bool:
    return any(
        item.operator in (">", ">>", ">|", "&>", "&>>") and item.target.text not in ("/dev/stdout", "/dev/stderr", "/dev/tty", "&1", "&2")
        for item in command.redirections
    )


_FILES_OF_SECRETS = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example|sample|dist|template|test)\w+)?|\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.pgpass|id_(?:rsa|ed25519|ecdsa|dsa)"
    r"|\.aws/credentials|\.docker/config\.json|\.kube/config|kubeconfig|application_default_credentials\.json|[\w.-]+\.(?:pem|p12|key))$"
    r"|^/(?:var/)?run/secrets/"
)


_FETCH_SECRETS = re.compile(
    r"vault (?:kv get|read) |op read |gh auth token |aws secretsmanager get-secret-value |aws ecr get-login-password "
    r"|aws ssm get-parameters?(?:-by-path)? .*--with-decryption|aws sts (?:get-session-token|assume-role) "
    r"|gcloud auth print-(?:access|identity)-token |gcloud secrets versions access |az account get-access-token |az keyvault secret show "
    r"|kubectl get secrets? .*-o ?(?:yaml|json)|kubectl config view .*--raw"
)


def _tells(command: Command, rest: tuple[Command, ...], encrypted: frozenset[str]) -> Iterator[tuple[str, Confidence | None]]:
    name, arguments = command.name, command.arguments
    filtered = (
        Confidence.LOW if any(item.name in ("grep", "egrep", "findstr", "select-string", "cut", "head", "tail") for item in rest) else None
    )
    plain = [text for text in arguments if not text.startswith("-")]
    if _FETCH_SECRETS.match(f"{' '.join((name, *arguments))} "):
        yield " ".join((name, *arguments[:2])), filtered
    elif name == "printenv":
        if not plain:
            yield "printenv", filtered
        for text in plain:
            if names_secret(text) or text in encrypted:
                yield f"printenv {text}", None
    elif (name == "env" and not plain and not command.has("-i")) or (
        name in ("export", "declare", "typeset") and arguments in (("-p",), ("-x",), ("-xp",), ("-px",))
    ):
        yield " ".join((name, *arguments)), filtered
    elif name == "export" and not arguments and not command.assignments:
        yield "export", filtered
    elif name == "set" and not arguments:
        yield "set", filtered
    elif name in ("get-childitem", "gci", "dir", "ls", "get-item", "gi") and any(
        re.fullmatch(r"env:[\\/*]*", text.lower()) for text in plain
    ):
        yield f"{name} env:", filtered
    elif name in ("get-childitem", "gci", "get-item", "gi", "get-content") and any(
        text.lower().startswith("env:") and names_secret(text[4:]) for text in plain
    ):
        yield f"{name} env:", None
    elif name in ("echo", "printf", "write-host", "write-output", "out-host", "write-information", "write-verbose", "print", "logger"):
        texts = [(word, item) for word in command.effective[1:] for item in word.expansions]
        for word, item in texts:
            variable = item.name.removeprefix("env:").split("[")[0]
            if (names_secret(variable) or variable in encrypted) and (how := _shows(word, variable)) is not False:
                yield f"{name} ${variable}", Confidence.LOW if how is None else filtered
    elif name in ("cat", "less", "more", "head", "tail", "get-content", "gc", "type", "bat"):
        for text in plain:
            if _FILES_OF_SECRETS.search(text):
                yield f"{name} {text}", filtered
        for redirection in command.redirections:
            if redirection.operator in ("<<", "<<-", "<<<"):
                for expansion in redirection.target.expansions:
                    if names_secret(expansion.name) or expansion.name in encrypted:
                        yield f"{name} ${expansion.name}", filtered


def _shows(word: Word, name: str) -> bool | None:
    """Whether the word shows the variable's value; None for a part of it only."""
    plain = re.escape(name)
    if re.search(rf"\$(?:env:)?{plain}(?!\w)|\$\{{(?:env:)?{plain}(?:\}}|:?[-=?])", word.text, re.IGNORECASE):
        return True
    if re.search(rf"\$\{{#{plain}|\$\{{{plain}:?\+", word.text):
        return False
    return None
