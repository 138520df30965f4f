"""Secrets that commands print, or that a shell shows in trace mode."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from airflow_provider.audit.analysis.secrets.values import names_secret
from airflow_provider.audit.analysis.shell.inner_shells import POWERSHELLS, SHELLS, shell_of
from airflow_provider.audit.analysis.shell.script import Command, Pipeline, Script, base_name
from airflow_provider.audit.settings.levels import Confidence

_THROUGH = frozenset({
    "cat", "tee", "sort", "uniq", "head", "tail", "cut", "tr", "sed", "base64", "rev", "fold", "xxd", "od", "hexdump", "column",
    "nl", "less", "more", "jq", "awk", "out-string", "out-host", "write-host",
})  # fmt: skip
_FILTERS = frozenset({"grep", "egrep", "findstr", "select-string"})
_SHORTEN = _FILTERS | {"cut", "head", "tail"}
_FILES_OF_SECRETS = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example|sample|dist|template|test)\w+)?|\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.pgpass|id_(?:rsa|ed25519|ecdsa|dsa)"
    r"|\.aws/credentials|\.docker/config\.json|\.kube/config|kubeconfig|application_default_credentials\.json|service[-_]?account[\w.-]*\.json|credentials\.json|gha-creds[\w-]*\.json|\.vault[-_]pass\w*|\.my\.cnf|htpasswd|[\w.-]+\.(?:pem|p12|key))$"
    r"|^/(?:var/)?run/secrets/"
)
_VARIABLE_OF_FILE = re.compile(
    r"\$\{?(?:KUBECONFIG|GOOGLE_APPLICATION_CREDENTIALS|GOOGLE_GHA_CREDS_PATH|AWS_SHARED_CREDENTIALS_FILE|NETRC)\}?"
)
"""Variables with the name of a file of secrets."""
_FETCH_SECRETS = re.compile(
    r"vault (?:kv get|read) |op read |gh auth token |aws secretsmanager get-secret-value |aws ecr get-login-password "
    r"|aws ssm get-parameters?(?:-by-path)? (?:(?!aws ssm ).)*--with-decryption|aws sts (?:get-session-token|assume-role) "
    r"|aws configure export-credentials "
    r"|gcloud auth print-(?:access|identity)-token |gcloud secrets versions access |az account get-access-token |az keyvault secret show "
    r"|kubectl get secrets? (?:(?!kubectl get ).)*-o ?(?:yaml|json)|kubectl config view (?:(?!kubectl config ).)*--raw"
)


def traces(command: Command) -> str | None:
    """The short form of a command that turns trace mode on; None if it does not."""
    arguments = command.arguments
    if command.name == "set":
        for position, text in enumerate(arguments):
            if text in ("--", "-") or text[:1] not in "-+":
                break
            if text[:1] == "-" and "x" in text[1:] and text[1:].isalpha():
                return "set -x"
            if text[:1] == "-" and text.endswith("o") and arguments[position + 1 : position + 2] == ("xtrace",):
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
        if text[1:].isalpha() and "x" in text[1:] and len(text) < 7 and base_name(shell[0].text) in SHELLS - POWERSHELLS:
            return f"{base_name(shell[0].text)} -x"
    return None


_TRACING_SHEBANG = re.compile(r"#!\s?\S{0,60}/(?:env (?:-S )?)?(?:ba|da|z|k|a)?sh (?:-o xtrace|-[a-wyz]{0,5}x[a-z]{0,5})\b")


def traced_by_shebang(text: str) -> str | None:
    """The first line of a script if it turns trace mode on, which it does where the script is run as a file; None if it does not."""
    match = _TRACING_SHEBANG.match(text)
    return match[0] if match else None


_VERBOSE = {
    "curl": ("-v", "--verbose", "--trace", "--trace-ascii"),
    "wget": ("-d", "--debug"),
    **dict.fromkeys(("http", "https", "xh"), ("-v", "--verbose")),
}
"""Options by which programs print the requests that they send, most of them to standard error."""
_BODY = re.compile(r"-d|-F|--data(?:-\w+)?|--form(?:-string)?|--json|--post-data|--body-data")


def prints_request(command: Command, encrypted: frozenset[str]) -> str | None:
    """The short form of a command that prints the headers of its request, with a secret in them; None if it does not."""
    option = next((option for option in _VERBOSE.get(command.name, ()) if command.has(option)), None)
    if option is None or any(item.operator.startswith(("2>", "&>", ">&")) for item in command.redirections):
        return None
    for before, word in pairwise(command.effective):
        is_body = any(_BODY.match(text) for text in (before.text, word.text) if text != option)
        for expansion in () if is_body else word.expansions:
            if names_secret(expansion.name) or expansion.name in encrypted:
                return f"{command.name} {option} ${expansion.name}"
    return None


Printed = tuple[str, Confidence | None]
"""The short form of the command, and the confidence; None for that of the rule."""


def printed_secrets(script: Script, encrypted: frozenset[str]) -> Iterator[tuple[Command, str, Confidence | None]]:
    """
    Yield each command that prints a secret to the log.

    :param encrypted: names of variables that are secrets regardless of their name.
    """
    captured = {id(item) for assignment in script.assignments for nested in assignment.value.nested for item in nested.pipelines}
    for command, shortened in _visible(script.pipelines, captured):
        for shown, confidence in _printed(command, shortened, encrypted):
            yield command, shown, confidence


def _visible(pipelines: Iterable[Pipeline], captured: set[int]) -> Iterator[tuple[Command, bool]]:
    """Commands whose output goes to the log, not into ``$(...)``, another command or a file, and whether only a part of it does."""
    waiting = deque(pipeline for pipeline in pipelines if id(pipeline) not in captured)
    while waiting:
        for command, shortened in reversed(list(_seen_in(waiting.popleft()))):
            yield command, shortened
            for nested in command.nested:
                if nested.via in ("group", "string", "heredoc"):
                    waiting.extend(item for item in nested.pipelines if id(item) not in captured)


def _seen_in(pipeline: Pipeline) -> Iterator[tuple[Command, bool]]:
    """The same for one pipeline, the last command first."""
    hidden = copied = shortened = False
    for command in reversed(pipeline.commands):
        hidden = hidden or _out_of_sight(command)
        if not hidden or copied:
            yield command, shortened
        if command.name not in _THROUGH and command.name not in _FILTERS:
            return
        copied = copied or command.name == "tee"
        shortened = shortened or command.name in _SHORTEN


def _out_of_sight(command: Command) -> bool:
    """Whether the output of a command goes into a file."""
    return any(
        item.operator in (">", ">>", ">|", "&>", "&>>") and item.target.text not in ("/dev/stdout", "/dev/stderr", "/dev/tty", "&1", "&2")
        for item in command.redirections
    )


_CODE = re.compile(r"(?:python|node|nodejs|php|ruby|perl|deno|bun|pypy)[\d.]*")
_CODE_OPTIONS = re.compile(r"-[A-Za-z]*[cerRp]|--eval|--print|--run|eval")
_ALL = (
    r"(?:process\.env\b(?![.\[])|os\.environ\b(?:\.(?:items|copy)\(|(?![.\[]))|(?<!\w)ENV\b(?:\.(?:to_[ah]|inspect|each|map)\b|(?![.\[{]))|\$_(?:ENV|SERVER)\b(?!\[)"
    r"|getenv\(\)|%ENV\b|Deno\.env\.toObject)"
)
_PRINTS_ALL = re.compile(
    r"\b(?:print|pprint|console\.(?:log|error|info|dir|table)|stdout\.write|print_r|var_dump|var_export|puts|pp|p|say)\b"
    rf"(?P<between>[^;\n]{{0,60}}?){_ALL}|\bphpinfo\(|^(?:JSON\.stringify\()?{_ALL}[^;\n]{{0,20}}$"
)
"""Code that prints all variables."""
_PRINTS_ONE = re.compile(
    r"\b(?:print|console\.(?:log|error|info)|stdout\.write|print_r|var_dump|puts|echo|pp|p)\b(?P<between>[^;\n]{0,60}?)"
    r"(?:process\.env|os\.environ|ENV|getenv)(?:\.get)?[.\[({]{1,2}[\"']?(?P<name>\w{1,100})[\"')\]}]{0,4}(?P<behind>[^;\n]{0,12})"
)
_ASKS = re.compile(r"\b(?:bool|len|isset|empty|defined|strlen|keys|sha\w*|md5)\b|!!|\bin\s|not ")
"""Code in front of a variable by which only something about it is printed."""
_COMPARES = re.compile(r"\s{0,3}(?:\?(?!\?)|\.(?:length|size)|[!=]==?|is |if )")
"""The same behind it."""


def _in_code(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """``node -e "console.log(process.env)"``, ``php -i``."""
    name, arguments = command.name, command.arguments
    if name.startswith("php") and arguments in (("-i",), ("--info",)):
        yield f"{name} -i", filtered
    for option, code in pairwise(arguments):
        if not _CODE_OPTIONS.fullmatch(option) or len(code) > MAX_CODE:
            continue
        if (whole := _PRINTS_ALL.search(code)) and not _ASKS.search(whole["between"] or ""):
            yield f"{name} {option} prints all variables", filtered
        for match in _PRINTS_ONE.finditer(code):
            asks = _ASKS.search(match["between"]) or _COMPARES.match(match["behind"])
            if (names_secret(match["name"]) or match["name"] in encrypted) and not asks:
                yield f"{name} {option} prints {match['name']}", filtered


MAX_CODE = 16 * 1024
"""Maximum number of characters of a program in an argument that are read."""


def _of_terraform(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """``terraform output -raw db_password``: without a name, or one of another kind, secret values are left out, or there are none."""
    name, operands = command.name, _operands(command)
    if operands[:1] == ["output"] and command.has("-raw", "-json") and any(map(names_secret, operands[1:])):
        yield f"{name} output {operands[1]}", filtered
    elif operands[:1] == ["output"] and command.has("-json") and len(operands) == 1:
        yield f"{name} output -json", Confidence.LOW


def _of_compose(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """``docker compose config`` prints the values of all variables that the file uses."""
    operands = _operands(command)
    words = operands[1:] if operands[:1] == ["compose"] else operands if command.name in ("docker-compose", "podman-compose") else []
    if (
        words
        and "config" in words[:4]
        and not command.has("-q", "--quiet", "--services", "--images", "--volumes", "--hash", "--no-interpolate")
    ):
        yield f"{command.name} config", Confidence.LOW


def _printed(command: Command, shortened: bool, encrypted: frozenset[str]) -> Iterator[Printed]:
    name, arguments = command.name, command.arguments
    filtered = Confidence.LOW if shortened else None
    if _CODE.fullmatch(name):
        yield from _in_code(command, encrypted, filtered)
    elif _FETCH_SECRETS.match(f"{' '.join((name, *arguments))} "):
        yield " ".join((name, *arguments[:2])), filtered
    elif printer := _PRINTERS.get(name):
        yield from printer(command, encrypted, filtered)


def _operands(command: Command) -> list[str]:
    return [text for text in command.arguments if not text.startswith("-")]


def _by_printenv(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    names = _operands(command)
    if not names:
        yield "printenv", filtered
    for name in names:
        if names_secret(name) or name in encrypted:
            yield f"printenv {name}", None


def _all_variables(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """``env``, ``set``, ``export``, ``declare -x``: print all variables without arguments."""
    name, arguments = command.name, command.arguments
    if name == "env":
        every = not _operands(command) and not command.has("-i")
    elif name == "set":
        every = not arguments
    else:
        every = not command.assignments and (arguments in (("-p",), ("-x",), ("-xp",), ("-px",)) or (name == "export" and not arguments))
    if every:
        yield " ".join((name, *arguments)), filtered


def _by_powershell_item(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """``Get-ChildItem env:``, ``Get-Item env:TOKEN``."""
    name, operands = command.name, [text.lower() for text in _operands(command)]
    if any(re.fullmatch(r"env:[\\/*]*", text) for text in operands):
        yield f"{name} env:", filtered
    elif name not in ("dir", "ls") and any(text.startswith("env:") and names_secret(text[4:]) for text in operands):
        yield f"{name} env:", None


def _by_echo(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    if any(text.startswith("::add-mask::") for text in command.arguments):
        return  # what GitHub's runner hides from then on, and does not show
    for word in command.effective[1:]:
        forms = _forms(word.text) if word.expansions else {}
        for variable in dict.fromkeys(item.name.removeprefix("env:").split("[")[0] for item in word.expansions):
            whole = forms.get(variable.lower())
            if (names_secret(variable) or variable in encrypted) and whole is not False:
                yield f"{command.name} ${variable}", Confidence.LOW if whole is None else filtered


def _by_cat(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    for text in _operands(command):
        if _FILES_OF_SECRETS.search(text) or _VARIABLE_OF_FILE.fullmatch(text):
            yield f"{command.name} {text}", filtered
    yield from _by_tee(command, encrypted, filtered)


def _by_tee(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """What is passed in by a heredoc."""
    for redirection in command.redirections:
        if redirection.operator in ("<<", "<<-", "<<<"):
            for expansion in redirection.target.expansions:
                if names_secret(expansion.name) or expansion.name in encrypted:
                    yield f"{command.name} ${expansion.name}", filtered


def _by_get_content(command: Command, encrypted: frozenset[str], filtered: Confidence | None) -> Iterator[Printed]:
    """``Get-Content env:TOKEN``, or of a file."""
    texts = [text.lower() for text in _operands(command)]
    if any(text.startswith("env:") and names_secret(text[4:]) for text in texts):
        yield f"{command.name} env:", None
    else:
        yield from _by_cat(command, encrypted, filtered)


_EXPANSION = re.compile(r"\$(?:env:)?(?P<plain>\w+)|\$\{(?:env:)?(?P<length>#?)(?P<braced>\w+)(?P<rest>\}|:?[-=?+])?", re.IGNORECASE)


def _forms(text: str) -> dict[str, bool | None]:
    """Whether a word shows the value of each of its variables; None if only part of it."""
    forms: dict[str, bool | None] = {}
    for match in _EXPANSION.finditer(text):
        name = (match["plain"] or match["braced"]).lower()
        asks = bool(match["length"]) or (match["rest"] or "").endswith("+")
        whole = bool(match["plain"]) or (None if not match["rest"] else True)
        forms[name] = True if forms.get(name) else (False if asks else whole)
    return forms


_PRINTERS: dict[str, Callable[[Command, frozenset[str], Confidence | None], Iterator[Printed]]] = {
    "printenv": _by_printenv,
    **dict.fromkeys(("env", "set", "export", "declare", "typeset"), _all_variables),
    **dict.fromkeys(("get-childitem", "gci", "dir", "ls", "get-item", "gi"), _by_powershell_item),
    **dict.fromkeys(
        ("echo", "printf", "write-host", "write-output", "out-host", "write-information", "write-verbose", "print", "logger"), _by_echo
    ),
    **dict.fromkeys(("cat", "less", "more", "head", "tail", "gc", "type", "bat"), _by_cat),
    "get-content": _by_get_content,
    "tee": _by_tee,
    **dict.fromkeys(("terraform", "tofu"), _of_terraform),
    **dict.fromkeys(("docker", "docker-compose", "podman", "podman-compose"), _of_compose),
}
