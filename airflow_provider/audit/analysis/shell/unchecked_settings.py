"""Settings in files of tools that disable the verification of certificates, which a script writes: ``echo insecure >> ~/.curlrc``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider.audit.analysis.shell.script import Command, Pipeline

_FILES = re.compile(
    r"(?:\.curlrc|\.wgetrc|wgetrc|\.npmrc|\.yarnrc(?:\.yml)?|\.gitconfig|pip\.(?:conf|ini)|\.condarc|\.gemrc|\.bundle/config|\.ldaprc|ldap\.conf|\.boto"
    r"|\.s3cfg|\.sentryclirc|\.ssh/config|ssh_config|ssh_config\.d/[^/]{1,100}|ansible\.cfg|\.lftprc|lftp\.conf|lftp/rc|\.?msmtprc|\.my\.cnf|nix\.conf"
    r"|yum\.conf|dnf\.conf|\.repo|apt\.conf|apt\.conf\.d/[^/]{1,100}|sources\.list|sources\.list\.d/[^/]{1,100}|daemon\.json|registries\.(?:conf|yaml)"
    r"|hosts\.toml|kubeconfig|\.kube/config|\.aws/config)[\"']?$",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"^[^\S\n]*(?:-?-?(?:proxy-)?insecure|-k)[^\S\n]*$|check[_-]certificate\s*=\s*off|check_ssl_certificate\s*=\s*false"
    r"|strict-ssl(?:\s*=\s*|\s+)[\"']?false|enableStrictSsl:?\s*false|sslVerify\s*=\s*false|verify_ssl\s*=\s*false"
    r"|trusted-host\s*=|ssl_verify\s*:\s*(?:false|no)|ssl_verify_mode\s*:\s*[\"']?0|TLS_REQCERT\s+(?:never|allow)|sslverify\s*=\s*(?:0|false)"
    r"|https_validate_certificates\s*=\s*false|StrictHostKeyChecking[ =]+(?:no|off)\b|UserKnownHostsFile[ =]+/dev/null"
    r"|host_key_checking\s*=\s*false|ssl:verify-certificate\s+(?:no|false|off)|sftp:auto-confirm\s+(?:yes|true|on)|tls_certcheck\s+off"
    r"|ssl-mode\s*=\s*disabled|ssl-verify-server-cert\s*=\s*0"
    r"|Acquire::https::(?:[\w.-]{1,100}::)?Verify-(?:Peer|Host)\s+\"(?:false|no|0|off)|Acquire::AllowInsecureRepositories\s+\"(?:true|yes|1)"
    r"|APT::Get::AllowUnauthenticated\s+\"(?:true|yes|1)|\btrusted\s*[=:]\s*yes|gpgcheck\s*=\s*(?:0|false|no)\b|require-sigs\s*=\s*false"
    r"|\"insecure-registries\"\s*:\s*\[\s*\"(?!localhost|127\.)|insecure[_-]skip[_-](?:tls[_-])?verify\s*[:=]\s*true|skip_verify\s*=\s*true"
    r"|^[^\S\n]*insecure\s*=\s*true",
    re.IGNORECASE | re.MULTILINE,
)
_FILE_ARGUMENT = frozenset({"tee", "tee-object", "set-content", "add-content", "out-file"})
"""Commands that write to files which are among their arguments."""


def written_off(command: Command) -> Iterator[str]:
    """The settings that disable verification in what a command writes to a tool's file, in a form that a report may show."""
    if _has_file(command):
        yield from _settings(command)


def piped_off(pipeline: Pipeline) -> Iterator[tuple[Command, str]]:
    """The same for what commands of a pipeline pass to another one that writes it: ``echo ... | sudo tee -a /etc/apt/apt.conf``."""
    if len(pipeline.commands) < 2:
        return
    first, last = pipeline.commands[0], pipeline.commands[-1]
    if last.name in _FILE_ARGUMENT and first.name in ("echo", "printf", "cat", "write-output", "") and _has_file(last):
        yield from ((first, shown) for shown in _settings(first))


def _has_file(command: Command) -> bool:
    files = [item.target.text for item in command.redirections if item.operator in (">", ">>", ">|")]
    files += command.arguments if command.name in _FILE_ARGUMENT else ()
    return any(map(_FILES.search, files))


def _settings(command: Command) -> Iterator[str]:
    texts = [word.text for word in command.words] if not command.name else command.arguments
    for text in (*texts, *(item.target.text for item in command.redirections if item.operator.startswith("<<"))):
        if match := _LINE.search(text.replace("\\n", "\n")):
            yield f"{' '.join(match[0].split())[:60]} in a settings file"
