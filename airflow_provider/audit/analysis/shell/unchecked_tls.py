"""Commands and variables that disable the verification of TLS certificates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider.audit.analysis.shell.fetching import CURL_VALUED, CURL_VALUED_LONG
from airflow_provider.audit.analysis.shell.inner_shells import ENGINES, own_arguments
from airflow_provider.audit.analysis.shell.options import options
from airflow_provider.audit.analysis.shell.script import Assignment, Command, base_name
from airflow_provider.audit.analysis.shell.unchecked_settings import written_off
from airflow_provider.audit.settings.levels import Confidence

_OFF = frozenset({"0", "false", "no", "off", "never", "none", "disabled", "disable", "n", "f", "null"})
_ON = frozenset({"1", "true", "yes", "on", "y", "t"})
OFF_WHEN_FALSE = frozenset({
    "node_tls_reject_unauthorized", "pythonhttpsverify", "npm_config_strict_ssl", "yarn_enable_strict_ssl",
    "consul_http_ssl_verify", "perl_lwp_ssl_verify_hostname", "bundle_ssl_verify_mode", "ldaptls_reqcert", "conda_ssl_verify",
})  # fmt: skip
"""Variables that disable verification if false."""
OFF_WHEN_TRUE = frozenset({
    "git_ssl_no_verify", "vault_skip_verify", "nomad_skip_verify", "azure_cli_disable_connection_verification",
    "ansible_galaxy_ignore", "influx_skip_verify", "cloudsdk_auth_disable_ssl_validation", "mc_insecure", "govc_insecure", "os_insecure",
    "rclone_no_check_certificate", "k6_insecure_skip_tls_verify", "etcdctl_insecure_skip_tls_verify", "argocd_insecure",
    "cosign_allow_insecure_registry", "sentry_allow_insecure",
})  # fmt: skip
"""Variables that disable verification if true."""
_CLEAR = re.compile(
    r"(?<![a-z-])--?(?:[a-z]+-)*(?:insecure-skip-(?:tls-)?verify|skip-tls-verify|tls-skip-verify|no-check-certificates?|no-verify-ssl|no-ssl-verify|no-verify-tls"
    r"|no-tls-verify|skip-ssl-verify|skip-ssl-validation|skip-cert-verify|skip-certificate-check|disable-ssl-verification|disable-tls-verification"
    r"|ignore-certificate-errors|ignore-ssl-errors|allow-invalid-certificates|no-strict-ssl|(?:tls|ssl)allowinvalid(?:certificates|hostnames)"
    r"|tlsinsecure|insecure-registry|allow-insecure-host|trust-server-cert|insecure-tls|ignore-certs|ignore-ssl|allow-?insecure-?connections"
    r"|unsafe-skip-ca-verification)",
)
_NEGATED = re.compile(
    r"--(?:(?!skip|no-|insecure)[a-z]+-)*(?:tls-?verify|verify-tls|ssl-verify|verify-ssl|strict-ssl|check-certificate|verify-certs?|certificate-check|tls-?cert-?check|ssl-verify-server-cert)"
)
_INSECURE = frozenset({
    "argocd", "crane", "oras", "mc", "grpcurl", "helm", "oc", "kubectl", "cosign", "skopeo", "buildah", "podman", "trivy",
    "regctl", "k6", "newman", "hg", "redis-cli", "xh", "flux", "conda", "mamba", "manifest-tool", "notation", "istioctl", "tsh",
    "snyk", "sentry-cli", "gh", "openstack", "axel", "websocat", "mosquitto_pub", "mosquitto_sub", "pulumi", "go",
})  # fmt: skip
"""Tools whose ``--insecure`` disables verification."""
_PIP = frozenset({"pip", "pip3", "pipenv", "uv"})
_WRITE = frozenset({
    "echo", "printf", "write-host", "write-output", "cat", "tee", "add-content", "set-content", "out-file", "logger",
    "grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "ug", "findstr", "select-string", "sls", "sed", "awk", "gawk",
    "[", "[[", "test", "expr",
})  # fmt: skip
"""Commands whose arguments are text."""
_EDITORS = frozenset({"perl", "ruby"})
_EDITS = re.compile(r"-[a-z0-9]{0,10}[pn]")
"""Options by which a program is run for each line of a text."""
_LOOPBACK = re.compile(r"(?:^|//|@)(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0)(?=[:/,\\\s]|$)", re.IGNORECASE)
_REMOTE = re.compile(r"//(?!(?:[^/@\s]*@)?(?:localhost|127\.|\[::1\]|0\.0\.0\.0))\S")
_PROPERTY = re.compile(
    r"-D(?:maven\.wagon\.http\.ssl\.(?:insecure|allowall)(?:=true)?|maven\.resolver\.transport\.https\.securityMode=insecure)",
    re.IGNORECASE,
)
_IN_CODE = re.compile(
    r"verify\s*=\s*False|CERT_NONE|_create_unverified_context|rejectUnauthorized\s*:\s*false|VERIFY_NONE|CURLOPT_SSL_VERIFYPEER\s*(?:,|=>)\s*(?:false|0)"
    r"|InsecureSkipVerify\s*:\s*true|CURLOPT_SSL_VERIFYHOST\s*(?:,|=>)\s*(?:false|0)|verify_peer(?:_name)?[\"']\s*=>\s*(?:false|0)"
    r"|check_hostname\s*=\s*False|AutoAddPolicy\(|PERL_LWP_SSL_VERIFY_HOSTNAME\W{0,3}\s*=\s*[\"']?0|verify_ssl\s*=\s*False|NODE_TLS_REJECT_UNAUTHORIZED[\"'\]]{0,2}\s*=\s*[\"']?0"
)
_SSH_OFF = re.compile(r"stricthostkeychecking[ =\\\"']{1,3}(?:no|off)\b|userknownhostsfile[ =\\\"']{1,3}/dev/null\b", re.IGNORECASE)
_CODE_RUNNERS = re.compile(r"(?:python|node|ruby|perl|php|pypy)[\d.]*")


def by_variable(name: str, value: str) -> Confidence | None:
    """Confidence that an environment variable with this value disables verification; None if it does not."""
    key, text = name.lower().removeprefix("env:"), value.strip().strip("\"'").lower()
    if key in OFF_WHEN_FALSE and text in _OFF:
        return Confidence.HIGH
    if key in OFF_WHEN_TRUE and text and text not in _OFF:
        return Confidence.HIGH if text in _ON else Confidence.MEDIUM
    if key == "git_ssl_no_verify" and text in ("0", "false"):
        return Confidence.MEDIUM  # git only checks whether it is set
    if key in ("pip_trusted_host", "uv_insecure_host") and text:
        return Confidence.LOW if _only_here(f"//{text}") else Confidence.HIGH
    if key in ("ansible_host_key_checking", "ansible_ssh_host_key_checking") and text in _OFF:
        return Confidence.HIGH
    if key in ("git_ssh_command", "ansible_ssh_args", "ansible_ssh_common_args", "rsync_rsh") and _SSH_OFF.search(text):
        return Confidence.HIGH
    if key == "nix_config" and re.search(r"require-sigs\s*=\s*false", text):
        return Confidence.HIGH
    if key == "pgsslmode" and text == "disable":
        return Confidence.MEDIUM
    if key in ("goinsecure",) and text:
        return Confidence.MEDIUM
    if key in ("node_options", "java_tool_options", "maven_opts", "goflags") and (
        "--tls-reject" in text or _PROPERTY.search(text) or "-insecure" in text
    ):
        return Confidence.MEDIUM
    if key in ("ssl_verify", "tls_verify", "verify_ssl", "verify_tls", "strict_ssl", "ssl_verify_mode") and text in _OFF:
        return Confidence.MEDIUM
    if key in ("insecure_skip_verify", "skip_tls_verify", "skip_ssl_verify", "insecure_skip_tls_verify", "tls_skip_verify") and text in _ON:
        return Confidence.MEDIUM
    return None


def by_assignment(assignment: Assignment) -> Confidence | None:
    """The same for a variable that a script sets, and for PowerShell's certificate callback."""
    if "servercertificatevalidationcallback" in assignment.name.lower():
        return Confidence.HIGH if "true" in assignment.value.text.lower() else Confidence.MEDIUM
    if "skipcertificatecheck" in assignment.name.lower():
        return Confidence.HIGH if "true" in assignment.value.text.lower() else None
    if "certificatepolicy" in assignment.name.lower():
        return Confidence.MEDIUM
    return by_variable(assignment.name, assignment.value.text) if assignment.value.literal else None


def by_command(command: Command) -> Iterator[tuple[str, Confidence]]:
    """Options and settings of a command that disable verification, in a form that a report may show, with the confidence."""
    name, arguments = command.name, own_arguments(command)
    yield from ((shown, Confidence.HIGH) for shown in written_off(command))
    if name in _WRITE or (name in _EDITORS and any(map(_EDITS.match, arguments))):
        return
    local = is_local(command)
    for shown, confidence in _off(name, arguments):
        yield f"{name} {shown}", Confidence.LOW if local else confidence
    if before := [word.text for word in command.words[: len(command.words) - len(command.effective)]]:
        wrapper = base_name(before[0])
        options_of = tuple(text for text in before[1:] if text.startswith("-") or "=" not in text)
        yield from ((f"{wrapper} {shown}", confidence) for shown, confidence in _off(wrapper, options_of))
    if _CODE_RUNNERS.fullmatch(name):
        on_input = (item.target.text for item in command.redirections if item.operator.startswith("<<"))
        if any(map(_IN_CODE.search, on_input)):
            yield f"{name} code without a check", Confidence.MEDIUM
    if name in ("env", "cross-env", "export", "setx", "set", "setenvironmentvariable", "sudo", "declare"):
        pairs = [text.partition("=")[::2] for text in arguments if "=" in text] + [tuple(arguments[:2])] * (len(arguments) >= 2)
    else:
        pairs = [word.text.partition("=")[::2] for word in command.words[: len(command.words) - len(command.effective)] if "=" in word.text]
        pairs += _container_variables(name, arguments)
    for key, value in pairs:
        if confidence_of := by_variable(key, value):
            shown = f"{key}={value if value.lower() in _OFF | _ON else '...'}"  # hosts may contain a login
            yield shown, Confidence.LOW if local else confidence_of


_NIX = frozenset({"nix", "nix-build", "nix-shell", "nix-env", "nix-store", "nix-copy-closure", "nixos-rebuild", "home-manager"})
_CHOCO = frozenset({"choco", "chocolatey", "cinst", "cup"})
_MYSQL = frozenset({"mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mariadb", "mariadb-dump"})


@dataclass(frozen=True, slots=True)
class _Option:
    """
    An option that disables verification, in lower case.

    :param tools: the programs that have it; None for any.
    :param values: the values that disable verification; None for a switch, which is on unless its value is false.
    :param joined: whether the value follows ``=``; otherwise it may be the next word.
    :param word: whether ``false`` as the next word turns a switch off.
    """

    key: re.Pattern[str]
    tools: frozenset[str] | None = None
    values: frozenset[str] | None = None
    joined: bool = False
    word: bool = False
    confidence: Confidence = Confidence.HIGH

    def shown(self, name: str, text: str, following: str) -> str | None:
        """The option in a form that a report may show; None if it does not disable verification."""
        key, equals, value = text.partition("=")
        if (self.tools is not None and name not in self.tools) or not self.key.fullmatch(key):
            return None
        if self.values is None:
            on = value not in _OFF if equals else not (self.word and following in ("false", "0"))
            return key if on else None
        value = value if equals or self.joined else following
        return f"{key}={value}" if value in self.values else None


_OPTIONS = (
    _Option(re.compile("--?trust-?server-?certificate"), word=True),
    _Option(re.compile("--skip-ssl"), tools=_MYSQL),
    _Option(re.compile("--no-host-key-check(?:ing)?|--disable-host-key-checking"), confidence=Confidence.MEDIUM),
    _Option(_CLEAR, word=True),
    _Option(_NEGATED, values=_OFF),
    _Option(re.compile("--?insecure"), tools=_INSECURE),
    _Option(re.compile("--?insecure"), confidence=Confidence.LOW),
    _Option(re.compile("--plain-http"), tools=frozenset({"helm", "oras", "notation", "crane"})),
    _Option(re.compile("--?plaintext"), tools=frozenset({"grpcurl", "argocd", "evans"}), confidence=Confidence.MEDIUM),
    _Option(re.compile("--no-ssl"), tools=frozenset({"s3cmd"}), confidence=Confidence.MEDIUM),
    _Option(re.compile("-k"), tools=frozenset({"newman", "conda", "mamba", "govc", "axel", "websocat", "ffuf", "gobuster", "feroxbuster"})),
    _Option(re.compile("-c"), tools=frozenset({"ansible-galaxy"})),
    _Option(re.compile("-n|--no-check"), tools=frozenset({"wscat"})),
    _Option(re.compile("--skip-verify"), tools=frozenset({"influx", "rancher", "drone", "vela", "woodpecker-cli"})),
    _Option(re.compile("--verify"), tools=frozenset({"http", "https", "xh", "xhs", "httpie"}), values=_OFF),
    _Option(re.compile("(?:-o)?boto:https_validate_certificates"), values=_OFF, joined=True),
    _Option(re.compile("--node-ssl-verify-mode"), values=_OFF),
    _Option(re.compile("--?allow-?untrusted"), tools=frozenset({"msdeploy"})),
    _Option(re.compile("-invalidcertificateaction"), values=frozenset({"ignore"})),
    _Option(re.compile(r"(?:-o)?acquire::https::(?:[\w.-]+::)?verify-(?:peer|host)"), values=_OFF, joined=True),
    _Option(re.compile("--ssl-mode"), values=frozenset({"disabled"})),
    _Option(re.compile("--ssl"), tools=_MYSQL, values=_OFF, joined=True),
    _Option(re.compile("--trust-server-cert-failures")),
    # The signature of a package tells whom it is from, as a certificate does
    _Option(re.compile("--allow-unauthenticated|--force-yes"), tools=frozenset({"apt", "apt-get", "aptitude"})),
    _Option(re.compile("--no-?gpg-?checks?"), tools=frozenset({"yum", "dnf", "microdnf", "tdnf", "zypper"})),
    _Option(re.compile("--allow-untrusted"), tools=frozenset({"apk"}), confidence=Confidence.MEDIUM),
    _Option(re.compile("--allow-insecure-repositories"), tools=frozenset({"apt", "apt-get", "aptitude"})),
    _Option(re.compile("(?:-o)?(?:apt::get::allowunauthenticated|acquire::allowinsecurerepositories)"), values=_ON, joined=True),
    _Option(re.compile("--no-(?:check|require)-sigs"), tools=_NIX),
    _Option(re.compile("--insecure-ignore-(?:tlog|sct)"), tools=frozenset({"cosign"}), confidence=Confidence.MEDIUM),
    _Option(re.compile("--no-check-gpg|--no-gpg-verify"), tools=frozenset({"debootstrap", "flatpak", "ostree"})),
    _Option(re.compile("--skippgpcheck|--skipchecksums|--skipinteg"), tools=frozenset({"makepkg"})),
    _Option(re.compile("--ignore-?checksums?"), tools=_CHOCO),
    _Option(re.compile("--allow-?empty-?checksums?"), tools=_CHOCO, confidence=Confidence.MEDIUM),
    _Option(re.compile("--ignore-security-hash"), tools=frozenset({"winget"})),
    _Option(re.compile("--skip(?:-hash-check)?"), tools=frozenset({"scoop"})),
    _Option(re.compile("--no-verify"), tools=frozenset({"bun"}), confidence=Confidence.MEDIUM),
    _Option(re.compile("-skippublishercheck"), tools=frozenset({"install-module", "update-module"}), confidence=Confidence.MEDIUM),
    _Option(re.compile("validate_certs"), values=_OFF, joined=True),
)
_ANY_OPTION = re.compile("|".join(option.key.pattern for option in _OPTIONS))
"""For nearly all arguments this single search replaces those of all options."""
_CERTIFICATE, _HOST_KEY = "certificate not verified", "host key not verified"
_TEXTS = (
    (re.compile("ssl:verify-certificate (?:no|false)"), Confidence.HIGH, _CERTIFICATE),
    (re.compile("ftp:ssl-allow (?:no|false)"), Confidence.MEDIUM, _CERTIFICATE),
    (re.compile("sftp:auto-confirm (?:yes|true)"), Confidence.HIGH, _HOST_KEY),
    (re.compile("sslmode=disable"), Confidence.MEDIUM, _CERTIFICATE),
    (re.compile(r"(?:tls|ssl)(?:allowinvalid(?:certificates|hostnames)|insecure)=true\b"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"verifyservercertificate=false|ssl_cert_reqs=(?:cert_)?none\b"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"(?:^|[=.\s])sslverify=(?:0|false|no)\b"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"(?:^|[=.\s])gpgcheck=(?:0|false|no)\b"), Confidence.HIGH, "signatures not verified"),
    (re.compile(r"ssl_verify_mode[ =]:?(?:verify_)?none\b"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"(?:insecure_connection|allow_unverified_ssl|allowuntrustedcertificate)=(?:true|1)\b"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"(?:insecure[_-]?skip[_-]?(?:tls[_-]?)?|skip_tls_)verify=true\b"), Confidence.MEDIUM, _CERTIFICATE),
    (re.compile(r"-hostkey=[\\\"']{0,4}\*"), Confidence.HIGH, _HOST_KEY),
    (re.compile(r"-certificate=[\\\"']{0,4}\*"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"trust[ ]?server[ ]?certificate\s?=\s?(?:true|yes|1)\b"), Confidence.HIGH, _CERTIFICATE),
    (re.compile(r"encrypt=(?:false|no)\b"), Confidence.LOW, _CERTIFICATE),
    (re.compile(r"stricthostkeychecking[ =](?:no|off)\b"), Confidence.HIGH, _HOST_KEY),
    (re.compile(r"userknownhostsfile[ =](?:/dev/null|nul)\b"), Confidence.HIGH, _HOST_KEY),
)
"""Parts of arguments that disable verification, such as a parameter of a URL. All have a blank or an equals sign."""


def _off(name: str, arguments: tuple[str, ...]) -> Iterator[tuple[str, Confidence]]:
    lower = [text.lower() for text in arguments]
    if own := _OWN_OPTIONS.get(name):
        yield from own(arguments, lower)
        return
    if name in _PIP or (_CODE_RUNNERS.fullmatch(name) and lower[:2] == ["-m", "pip"]):
        yield from _of_pip(lower)
    if _CODE_RUNNERS.fullmatch(name):
        yield from _in_code(name, arguments)
    for text, original, following in zip(lower, arguments, [*lower[1:], ""], strict=False):
        if text == "--":
            break
        named = _OPTIONS if _ANY_OPTION.fullmatch(text.partition("=")[0]) else ()
        shown = ((what, option.confidence) for option in named if (what := option.shown(name, text, following)))
        if first := next(shown, None):
            yield first
        elif _PROPERTY.fullmatch(original):
            yield original, Confidence.HIGH
        elif ("=" in text or " " in text) and (within := next((item for item in _TEXTS if item[0].search(text)), None)):
            yield within[2], within[1]
    joined = " ".join(lower)
    if (setting := _SETTINGS.get(name)) and "--unset" not in lower and " get " not in f" {joined} " and (match := setting.search(joined)):
        yield match[0][:80], Confidence.HIGH


def _up_to(again: str) -> str:
    """What stands between the beginning of a command and an option: up to its next beginning only, or it would be quadratic."""
    return f"(?:(?!{again}).)*"


_SETTINGS = {
    name: re.compile(pattern)
    for name, pattern in {
        **dict.fromkeys(("npm", "pnpm"), rf"(?:config )?set {_up_to('set ')}(?<= )strict-ssl[= ]false"),
        "yarn": rf"config set {_up_to('config ')}(?<= )(?:strict-ssl|enablestrictssl) false",
        "conda": rf"config {_up_to('config ')}ssl_verify[= ](?:false|no)",
        "composer": rf"config {_up_to('config ')}(?:disable-tls[= ](?:true|1)|secure-http[= ](?:false|0))",
        "gcloud": r"config set (?:auth/)?disable_ssl_validation (?:true|1)",
        "poetry": r"config certificates\.\S+\.cert false", "bundle": rf"config {_up_to('config ')}ssl_verify_mode[: ]+0",
        "gem": r"^.*:ssl_verify_mode:? 0",
        **dict.fromkeys(("pip", "pip3"), rf"config {_up_to('config ')}set {_up_to('config |set ')}trusted-host .+"),
        "glab": r"config set (?:--?\S+ )*skip_tls_verify true",
        "choco": r"feature enable (?:-n|--name)[= ]\W?allowemptychecksums|feature disable (?:-n|--name)[= ]\W?checksumfiles",
        **dict.fromkeys(_NIX, r"--option require-sigs false"),
        "aws": rf"configure set {_up_to('configure ')}verify_ssl false",
        "go": rf"env -w {_up_to('env -w ')}(?:goinsecure=\S+|goflags=(?:(?!goflags=)\S)*-insecure)",
    }.items()
}  # fmt: skip
"""``npm config set strict-ssl false`` and similar commands of other tools."""


def _of_curl(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    for option, _ in options(arguments, CURL_VALUED, CURL_VALUED_LONG):
        if option in ("-k", "--insecure", "--proxy-insecure", "--doh-insecure"):
            yield option, Confidence.HIGH
    yield from _of_powershell(arguments, lower)


def _of_powershell(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``-SkipCertificateCheck``, which may be abbreviated, unless it is ``:$false``."""
    for text, value in pairwise((*lower, "")):
        if len(text) > len("-skipc") and "-skipcertificatecheck".startswith(text.rstrip(":")) and value not in ("$false", "false"):
            yield "-SkipCertificateCheck", Confidence.HIGH
            return


def _of_session(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``New-PSSessionOption -SkipCACheck -SkipCNCheck``, which may be abbreviated."""
    names = [name for name in ("-SkipCACheck", "-SkipCNCheck") if any(len(text) > 7 and name.lower().startswith(text) for text in lower)]
    if names:
        yield " ".join(names), Confidence.HIGH


def _of_wget(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``--no-check-certificate``, which may be abbreviated."""
    for text in lower:
        long = len(text) >= len("--no-check") and "--no-check-certificate".startswith(text.partition("=")[0])
        if long or "check_certificate=off" in text.replace(" ", "").replace("-", "_"):
            yield "--no-check-certificate", Confidence.HIGH
            return


def _in_code(name: str, arguments: tuple[str, ...]) -> Iterator[tuple[str, Confidence]]:
    for text in arguments:
        if _IN_CODE.search(text):
            yield "code without a check", Confidence.MEDIUM
    if name.startswith("node") and any(text.lower().startswith("--tls-reject-unauthorized=0") for text in arguments):
        yield "--tls-reject-unauthorized=0", Confidence.HIGH


def _of_git(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``-c http.sslVerify=false`` before the subcommand, or ``git config ... http.<address>.sslVerify false``."""
    for number, text in enumerate(lower):
        if text == "config":
            if not any(other.startswith(("--unset", "--get", "--list")) for other in lower):
                keys = [place for place, other in enumerate(lower) if other.startswith("http.") and other.endswith("sslverify")]
                if keys and "".join(lower[keys[0] + 1 : keys[0] + 2]).strip("\"'") in _OFF:
                    yield "http.sslVerify=false", Confidence.HIGH
            return
        setting = lower[number + 1] if text == "-c" and number + 1 < len(lower) else text.removeprefix("-c")
        key, _, value = setting.rpartition("=")
        if text.startswith("-c") and key.startswith("http.") and key.endswith("sslverify") and value.strip("\"'") in _OFF:
            yield "http.sslVerify=false", Confidence.HIGH
        elif number and not text.startswith("-") and not lower[number - 1].startswith("-"):
            return  # after the subcommand


def _of_sqlcmd(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``-C`` trusts any certificate; ``-c`` is something else."""
    if any(option == "-C" for option, _ in options(arguments, "UPSdHDlatqQiofhswuRMmVWrck")):
        yield "-C", Confidence.HIGH


def _of_rpm(arguments: tuple[str, ...], lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``--nosignature``, if something is installed."""
    installs = any(re.fullmatch("-[iUF][a-z]*|--install|--upgrade|--freshen", text) for text in arguments)
    if installs and "--nosignature" in arguments:
        yield "--nosignature", Confidence.HIGH


def _of_pip(lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    for number, text in enumerate(lower):
        key, equals, value = text.partition("=")
        if key in ("--trusted-host", "--allow-insecure-host"):
            host = value if equals else (lower[number + 1] if number + 1 < len(lower) else "")
            yield key, Confidence.LOW if _only_here(f"//{host}") else Confidence.HIGH


_OWN_OPTIONS: dict[str, Callable[[tuple[str, ...], list[str]], Iterator[tuple[str, Confidence]]]] = {
    **dict.fromkeys(("curl", "curlie"), _of_curl),
    "wget": _of_wget,
    "wget2": _of_wget,
    "git": _of_git,
    "rpm": _of_rpm,
    "new-pssessionoption": _of_session,
    **dict.fromkeys(("sqlcmd", "go-sqlcmd"), _of_sqlcmd),
    **dict.fromkeys(
        ("invoke-webrequest", "invoke-restmethod", "iwr", "irm", "new-pssession", "enter-pssession", "invoke-command"), _of_powershell
    ),
}
"""Programs with special handling of options."""


def _container_variables(name: str, arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    """What ``docker run -e A=b`` and ``docker build --build-arg A=b`` pass on."""
    if name not in ("docker", "podman", "nerdctl", "kubectl"):
        return []
    pairs = [(text, following) for text, following in pairwise(arguments) if text in ("-e", "--env", "--build-arg")]
    pairs += [tuple(text.split("=", 1)) for text in arguments if text.startswith(("--env=", "--build-arg="))]  # type: ignore[misc]
    return [(value.partition("=")[0], value.partition("=")[2]) for _, value in pairs]


_HOST_OPTIONS = frozenset({"-h", "--host", "--hostname", "-S", "--server"})
_SOCKET = re.compile(r"/(?:var/)?run/|/tmp$")
_TO_AN_ADDRESS = frozenset({"grpcurl", "evans", "argocd"})


def is_local(command: Command) -> bool:
    """Whether a command connects to this machine only."""
    name, arguments = command.name, own_arguments(command)
    hosts = [item.value.text for item in command.assignments if item.name in ("PGHOST", "MYSQL_HOST") and item.value.literal]
    if name not in ENGINES:
        for text, following in pairwise((*arguments, "")):
            option, equals, value = text.partition("=")
            if option in _HOST_OPTIONS:
                hosts.append(value if equals else following)
            elif text.startswith("-h"):
                hosts.append(text[2:])
            elif name in _TO_AN_ADDRESS and text[:1] != "-" and _LOOPBACK.match(text):
                hosts.append(text)
    joined = " ".join(arguments)
    here = hosts and all(_LOOPBACK.search(host.removeprefix("tcp:")) or _SOCKET.match(host) for host in hosts)
    return _only_here(joined) or (bool(here) and not _REMOTE.search(joined))


def _only_here(text: str) -> bool:
    return bool(_LOOPBACK.search(text)) and not _REMOTE.search(text)
