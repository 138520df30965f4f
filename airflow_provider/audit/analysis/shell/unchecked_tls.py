"""Where commands and variables switch the checks of TLS certificates off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from airflow_provider.audit.analysis.shell.downloads import CURL_VALUED, CURL_VALUED_LONG
from airflow_provider.audit.analysis.shell.options import options
from airflow_provider.audit.analysis.shell.script import Assignment, Command
from airflow_provider.audit.settings.levels import Confidence

_OFF = frozenset({"0", "false", "no", "off", "never", "none", "disabled", "disable", "n", "f", "null"})
_ON = frozenset({"1", "true", "yes", "on", "y", "t"})
OFF_WHEN_FALSE = frozenset({
    "node_tls_reject_unauthorized", "pythonhttpsverify", "npm_config_strict_ssl", "yarn_enable_strict_ssl",
    "consul_http_ssl_verify", "perl_lwp_ssl_verify_hostname", "bundle_ssl_verify_mode", "ldaptls_reqcert", "conda_ssl_verify",
})  # fmt: skip
"""Variables whose false value switches the check off."""
OFF_WHEN_TRUE = frozenset({
    "git_ssl_no_verify", "vault_skip_verify", "nomad_skip_verify", "azure_cli_disable_connection_verification",
    "ansible_galaxy_ignore", "influx_skip_verify", "cloudsdk_auth_disable_ssl_validation", "mc_insecure",
})  # fmt: skip
"""Variables whose true value switches the check off."""
_CLEAR = re.compile(
    r"--?(?:[a-z]+-)*(?:insecure-skip-(?:tls-)?verify|skip-tls-verify|tls-skip-verify|no-check-certificates?|no-verify-ssl|no-ssl-verify|no-verify-tls"
    r"|no-tls-verify|skip-ssl-verify|skip-ssl-validation|skip-cert-verify|skip-certificate-check|disable-ssl-verification|disable-tls-verification"
    r"|ignore-certificate-errors|ignore-ssl-errors|allow-invalid-certificates|no-strict-ssl|tlsallowinvalidcertificates|sslallowinvalidcertificates"
    r"|tlsinsecure|insecure-registry|allow-insecure-host|trust-server-cert|insecure-tls|ignore-certs|ignore-ssl|allow-?insecure-?connections"
    r"|unsafe-skip-ca-verification)",
)
_NEGATED = re.compile(
    r"--(?:(?!skip|no-|insecure)[a-z]+-)*(?:tls-?verify|verify-tls|ssl-verify|verify-ssl|strict-ssl|check-certificate|verify-certs?|certificate-check|ssl-verify-server-cert)"
)
_INSECURE = frozenset({
    "argocd", "crane", "oras", "mc", "grpcurl", "helm", "oc", "kubectl", "cosign", "skopeo", "buildah", "podman", "trivy",
    "regctl", "k6", "newman", "hg", "redis-cli", "xh", "flux", "conda", "mamba", "manifest-tool", "notation", "istioctl", "tsh",
    "snyk", "sentry-cli", "gh",
})  # fmt: skip
"""Tools whose ``--insecure`` means that."""
_OF_SOME = {"--plain-http": ("helm", "oras", "notation", "crane"), "-k": ("newman", "conda", "mamba")}
"""Options that mean that in some tools only."""
_LOOPBACK = re.compile(r"(?:^|//|@)(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0)(?=[:/\s]|$)", re.IGNORECASE)
_REMOTE = re.compile(r"//(?!(?:[^/@\s]*@)?(?:localhost|127\.|\[::1\]|0\.0\.0\.0))\S")
_PROPERTY = re.compile(
    r"-D(?:maven\.wagon\.http\.ssl\.(?:insecure|allowall)(?:=true)?|maven\.resolver\.transport\.https\.securityMode=insecure)",
    re.IGNORECASE,
)
_IN_CODE = re.compile(
    r"verify\s*=\s*False|CERT_NONE|_create_unverified_context|rejectUnauthorized\s*:\s*false|VERIFY_NONE|CURLOPT_SSL_VERIFYPEER\s*(?:,|=>)\s*(?:false|0)"
    r"|InsecureSkipVerify\s*:\s*true|verify_ssl\s*=\s*False"
)
_FILES = re.compile(
    r"(?:\.curlrc|\.wgetrc|wgetrc|\.npmrc|\.yarnrc(?:\.yml)?|\.gitconfig|pip\.conf|\.condarc|\.gemrc|\.ldaprc|yum\.conf|\.boto)[\"']?$"
)
_FILE_LINE = re.compile(
    r"^\s*-?-?insecure\s*$|check[_-]certificate\s*=\s*off|strict-ssl\s*[= ]\s*[\"']?false|enableStrictSsl:?\s*false|sslVerify\s*=\s*false"
    r"|trusted-host\s*=|ssl_verify\s*:\s*(?:false|no)|ssl_verify_mode\s*:\s*0|TLS_REQCERT\s+(?:never|allow)|sslverify\s*=\s*(?:0|false)|https_validate_certificates\s*=\s*false",
    re.IGNORECASE | re.MULTILINE,
)
_CODE_RUNNERS = re.compile(r"(?:python|node|ruby|perl|php|pypy)[\d.]*")


def by_variable(name: str, value: str) -> Confidence | None:
    """Whether an environment variable of this value switches the checks off."""
    key, text = name.lower().removeprefix("env:"), value.strip().strip("\"'").lower()
    if key in OFF_WHEN_FALSE and text in _OFF:
        return Confidence.HIGH
    if key in OFF_WHEN_TRUE and text and text not in _OFF:
        return Confidence.HIGH if text in _ON else Confidence.MEDIUM
    if key == "git_ssl_no_verify" and text in ("0", "false"):
        return Confidence.MEDIUM  # git looks only at whether it is set
    if key in ("pip_trusted_host", "uv_insecure_host") and text:
        return Confidence.LOW if _only_here(f"//{text}") else Confidence.HIGH
    if key in ("goinsecure",) and text:
        return Confidence.MEDIUM
    if key in ("node_options", "java_tool_options", "maven_opts", "goflags") and (
        "--tls-reject" in text or _PROPERTY.search(text) or "-insecure" in text
    ):
        return Confidence.MEDIUM
    if key in ("ssl_verify", "tls_verify", "verify_ssl", "verify_tls", "strict_ssl") and text in _OFF:
        return Confidence.MEDIUM
    if key in ("insecure_skip_verify", "skip_tls_verify", "skip_ssl_verify", "insecure_skip_tls_verify", "tls_skip_verify") and text in _ON:
        return Confidence.MEDIUM
    return None


def by_assignment(assignment: Assignment) -> Confidence | None:
    """The same of a variable that a script sets; PowerShell's certificate callback too."""
    if "servercertificatevalidationcallback" in assignment.name.lower():
        return Confidence.HIGH if "true" in assignment.value.text.lower() else Confidence.MEDIUM
    if "skipcertificatecheck" in assignment.name.lower():
        return Confidence.HIGH if "true" in assignment.value.text.lower() else None
    if "certificatepolicy" in assignment.name.lower():
        return Confidence.MEDIUM
    return by_variable(assignment.name, assignment.value.text) if assignment.value.literal else None


def by_command(command: Command) -> Iterator[tuple[str, Confidence]]:
    """Options and settings of a command that switch the checks off, each as what a report may show, and how sure that is."""
    name, arguments = command.name, command.arguments
    if name in (
        "echo",
        "printf",
        "grep",
        "egrep",
        "fgrep",
        "sed",
        "awk",
        "write-host",
        "write-output",
        "cat",
        "tee",
        "add-content",
        "set-content",
    ):
        yield from _into_a_file(command)
        return
    here = _only_here(" ".join(arguments))
    for what, confidence in _off(name, arguments):
        yield f"{name} {what}", Confidence.LOW if here else confidence
    if name in ("env", "cross-env", "export", "setx", "set", "setenvironmentvariable", "sudo", "declare"):
        pairs = [text.partition("=")[::2] for text in arguments if "=" in text] + [tuple(arguments[:2])] * (len(arguments) >= 2)
    else:
        pairs = [word.text.partition("=")[::2] for word in command.words[: len(command.words) - len(command.effective)] if "=" in word.text]
        pairs += _container_variables(name, arguments)
    for key, value in pairs:
        if confidence_of := by_variable(key, value):
            yield f"{key}={value if value.lower() in _OFF | _ON else '...'}", confidence_of  # hosts may hold a login


def _off(name: str, arguments: tuple[str, ...]) -> Iterator[tuple[str, Confidence]]:
    lower = [text.lower() for text in arguments]
    if name == "curl":
        for option, _ in options(arguments, CURL_VALUED, CURL_VALUED_LONG):
            if option in ("-k", "--insecure", "--proxy-insecure", "--doh-insecure"):
                yield option, Confidence.HIGH
        if _skips_check(lower):
            yield "-SkipCertificateCheck", Confidence.HIGH
        return
    if name in ("wget", "wget2"):
        if any(_no_check(text) for text in lower) or any(
            "check_certificate=off" in text.replace(" ", "").replace("-", "_") for text in lower
        ):
            yield "--no-check-certificate", Confidence.HIGH
        return
    if name in ("invoke-webrequest", "invoke-restmethod", "iwr", "irm", "new-pssession", "enter-pssession", "invoke-command"):
        if _skips_check(lower):
            yield "-SkipCertificateCheck", Confidence.HIGH
        return
    if name == "git":
        yield from _of_git(lower)
        return
    if name in ("pip", "pip3", "pipenv") or (_CODE_RUNNERS.fullmatch(name) and lower[:2] == ["-m", "pip"]) or name == "uv":
        yield from _of_pip(lower)
    if _CODE_RUNNERS.fullmatch(name):
        for text in arguments:
            if _IN_CODE.search(text):
                yield "code without a check", Confidence.MEDIUM
        if name.startswith("node") and any(text.startswith("--tls-reject-unauthorized=0") for text in lower):
            yield "--tls-reject-unauthorized=0", Confidence.HIGH
    for number, text in enumerate(lower):
        if text == "--":
            break
        key, equals, value = text.partition("=")
        following = value if equals else (lower[number + 1] if number + 1 < len(lower) else "")
        if _CLEAR.fullmatch(key) and not (equals and value in _OFF) and not (not equals and following in ("false", "0")):
            yield key, Confidence.HIGH
        elif _NEGATED.fullmatch(key) and following in _OFF:
            yield f"{key}={following}", Confidence.HIGH
        elif key in ("--insecure", "-insecure") and not (equals and value in _OFF):
            yield key, Confidence.HIGH if name in _INSECURE else Confidence.LOW
        elif name in _OF_SOME.get(key, ()) and not (equals and value in _OFF):
            yield key, Confidence.HIGH
        elif key == "--verify" and name in ("http", "https", "xh") and following in _OFF:
            yield f"{key}={following}", Confidence.HIGH
        elif _PROPERTY.fullmatch(arguments[number]):
            yield arguments[number], Confidence.HIGH
        elif (
            key
            in (
                "acquire::https::verify-peer",
                "-oacquire::https::verify-peer",
                "acquire::https::verify-host",
                "-oacquire::https::verify-host",
            )
            and value in _OFF
        ):
            yield f"{key}={value}", Confidence.HIGH
        elif (key, value) in (("--setopt", "sslverify=0"), ("--setopt", "sslverify=false")) or (
            key == "--ssl-mode" and following == "disabled"
        ):
            yield text, Confidence.HIGH
        elif "ssl:verify-certificate no" in text or "sslmode=disable" in text or "ssl:verify-certificate false" in text:
            yield "certificate not verified", Confidence.HIGH if "verify" in text else Confidence.MEDIUM
        elif key == "validate_certs" and value in _OFF:
            yield text, Confidence.HIGH
    yield from _configured(name, lower)


def _configured(name: str, lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``npm config set strict-ssl false`` and its like in other tools."""
    joined = " ".join(lower)
    if "--unset" in lower or " get " in f" {joined} ":
        return
    settings = {
        "npm": r"(?:config )?set (?:.* )?strict-ssl[= ]false", "pnpm": r"(?:config )?set (?:.* )?strict-ssl[= ]false",
        "yarn": r"config set (?:.* )?(?:strict-ssl|enablestrictssl) false", "conda": r"config .*ssl_verify[= ](?:false|no)",
        "composer": r"config .*(?:disable-tls[= ]true|secure-http[= ]false)",
        "gcloud": r"config set (?:auth/)?disable_ssl_validation (?:true|1)",
        "poetry": r"config certificates\.\S+\.cert false", "bundle": r"config .*ssl_verify_mode[: ]+0", "gem": r".*:ssl_verify_mode:? 0",
        "pip": r"config .*set .*trusted-host .+", "pip3": r"config .*set .*trusted-host .+", "aws": r"configure set .*verify_ssl false",
        "cf": r"(?:login|api) .*--skip-ssl-validation", "go": r"env -w .*(?:goinsecure=\S+|goflags=\S*-insecure)",
        "openstack": r".*--insecure\b",
    }  # fmt: skip
    if name in settings and (match := re.search(settings[name], joined)):
        yield match[0][:80], Confidence.HIGH


def _of_git(lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    """``-c http.sslVerify=false`` before the subcommand, or ``git config ... http.<address>.sslVerify false``."""
    for number, text in enumerate(lower):
        if text == "config":
            if not any(other.startswith(("--unset", "--get", "--list")) for other in lower):
                key = next((at for at, other in enumerate(lower) if re.fullmatch(r"http\..*sslverify|http\.sslverify", other)), None)
                if key is not None and "".join(lower[key + 1 : key + 2]).strip("\"'") in _OFF:
                    yield "http.sslVerify=false", Confidence.HIGH
            return
        given = lower[number + 1] if text == "-c" and number + 1 < len(lower) else text.removeprefix("-c")
        if text.startswith("-c") and (match := re.fullmatch(r"http\..*sslverify=(.*)", given)) and match[1].strip("\"'") in _OFF:
            yield "http.sslVerify=false", Confidence.HIGH
        elif number and not text.startswith("-") and not lower[number - 1].startswith("-"):
            return  # behind the subcommand


def _of_pip(lower: list[str]) -> Iterator[tuple[str, Confidence]]:
    for number, text in enumerate(lower):
        key, equals, value = text.partition("=")
        if key in ("--trusted-host", "--allow-insecure-host"):
            host = value if equals else (lower[number + 1] if number + 1 < len(lower) else "")
            yield key, Confidence.LOW if _only_here(f"//{host}") else Confidence.HIGH


def _container_variables(name: str, arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    """What ``docker run -e A=b`` and ``docker build --build-arg A=b`` hand over."""
    if name not in ("docker", "podman", "nerdctl", "kubectl"):
        return []
    found = [(text, following) for text, following in pairwise(arguments) if text in ("-e", "--env", "--build-arg")]
    found += [tuple(text.split("=", 1)) for text in arguments if text.startswith(("--env=", "--build-arg="))]  # type: ignore[misc]
    return [(value.partition("=")[0], value.partition("=")[2]) for _, value in found]


def _into_a_file(command: Command) -> Iterator[tuple[str, Confidence]]:
    """A tool's own settings file that is written."""
    files = [item.target.text for item in command.redirections if item.operator in (">", ">>")] + list(
        command.arguments[:1] if command.name == "tee" else ()
    )
    if any(_FILES.search(file) for file in files):
        texts = [*command.arguments, *(item.target.text for item in command.redirections if item.operator.startswith("<<"))]
        for text in texts:
            if match := _FILE_LINE.search(text.replace("\\n", "\n")):
                yield f"{match[0].strip()[:60]} in a settings file", Confidence.HIGH


def _only_here(text: str) -> bool:
    return bool(_LOOPBACK.search(text)) and not _REMOTE.search(text)


def _no_check(text: str) -> bool:
    return len(text) >= len("--no-check") and "--no-check-certificate".startswith(text.partition("=")[0])


def _skips_check(lower: list[str]) -> bool:
    """Whether PowerShell's ``-SkipCertificateCheck``, which may be shortened, is given and not ``:$false``."""
    return any(
        len(text) > len("-skipc") and "-skipcertificatecheck".startswith(text.rstrip(":")) and value not in ("$false", "false")
        for text, value in pairwise((*lower, ""))
    )
