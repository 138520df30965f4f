"""Which commands are tests or scans, and their options that let them pass whatever they find."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider.audit.analysis.shell.inner_shells import image_within
from airflow_provider.audit.analysis.shell.script import Command, base_name

_ALWAYS = frozenset({
    # tests
    "ava", "bats", "behat", "behave", "ctest", "gotestsum", "jasmine", "jest", "locust", "mocha", "newman", "nose2", "nox", "pest",
    "phpspec", "phpunit", "py.test", "pytest", "robot", "rspec", "testcafe", "tox", "unittest", "vitest",
    # linters and types
    "actionlint", "ansible-lint", "commitlint", "detekt", "eslint", "flake8", "hadolint", "htmlhint", "ktlint", "markdownlint", "mypy",
    "oxlint", "phpcs", "phpmd", "psalm", "pycodestyle", "pylint", "pyright", "rubocop", "shellcheck", "standardrb", "staticcheck",
    "stylelint", "swiftlint", "tflint", "vue-tsc", "yamllint",
    # scanners
    "bandit", "brakeman", "bundle-audit", "bundler-audit", "checkov", "clair-scanner", "dependency-check", "dockle", "gosec", "govulncheck",
    "grype", "kube-linter", "kubeconform", "kubeval", "nuclei", "osv-scanner", "pip-audit", "sonar-scanner", "terrascan", "tfsec",
    "trufflehog", "zap-api-scan.py", "zap-baseline.py", "zap-full-scan.py",
})  # fmt: skip
"""Programs that test or scan whenever they run."""
_SUBCOMMANDS = {
    tool: tuple(subcommands.split(", "))
    for tool, subcommands in {
        "artillery": "run",
        "artisan": "test",
        "biome": "check, ci, lint",
        "bundle": "audit",
        "cargo": "audit, check, clippy, deny, nextest, test",
        "codecept": "run",
        "codeception": "run",
        "composer": "audit, validate",
        "console": "lint:container, lint:twig, lint:xliff, lint:yaml",
        "conftest": "test, verify",
        "ct": "lint, install",
        "cypress": "run",
        "dart": "analyze, test",
        "deno": "check, lint, test",
        "detect-secrets": "scan",
        "docker": "scout cves",
        "dotnet": "test",
        "flutter": "analyze, test",
        "gitleaks": "detect, dir, git, protect",
        "go": "test, vet",
        "golangci-lint": "run",
        "helm": "lint, test, unittest",
        "k6": "run",
        "karma": "start, run",
        "kube-score": "score",
        "kubesec": "scan",
        "lhci": "assert, autorun",
        "manage.py": "check, test",
        "mix": "credo, dialyzer, test",
        "molecule": "test, verify",
        "ng": "e2e, lint, test",
        "nix": "flake check",
        "opa": "check, test",
        "phpstan": "analyse, analyze",
        "playwright": "test",
        "pre-commit": "run",
        "ruff": "check",
        "safety": "check, scan",
        "semgrep": "ci, scan",
        "snyk": "code, container, iac, test",
        "statix": "check",
        "swift": "test",
        "symfony": "check:security, security:check",
        "terraform": "test, validate",
        "tofu": "test, validate",
        "trivy": "aws, conf, config, filesystem, fs, i, image, k8s, kubernetes, repo, repository, rootfs, sbom, vm",
        "wdio": "run",
    }.items()
}
"""Programs that test or scan with these subcommands only."""
_OPTIONS = {
    "ansible-playbook": ("--syntax-check",),
    "black": ("--check",),
    "cargo": ("--check",),
    "clang-format": ("--dry-run", "-n"),
    "deno": ("--check",),
    "dotnet": ("--verify-no-changes",),
    "isort": ("--check", "--check-only", "-c"),
    "php-cs-fixer": ("--dry-run",),
    "pint": ("--test",),
    "prettier": ("--check", "-c", "--list-different", "-l"),
    "rector": ("--dry-run",),
    "ruff": ("--check",),
    "semgrep": ("--config", "-c"),
    "terraform": ("-check",),
    "tofu": ("-check",),
    "tsc": ("--noemit", "--noEmit"),
}
"""Programs that test with one of these options, whatever their subcommand."""
_TASK_RUNNERS = frozenset({
    "fastlane", "gmake", "invoke", "just", "lerna", "make", "nx", "rails", "rake", "sbt", "task", "turbo", "composer",
})  # fmt: skip
"""Programs whose arguments name tasks of the project."""
_BUILDS = frozenset({"gradle", "gradlew", "mvn", "mvnw"})
_BUILD_TASK = re.compile(
    r"(?:test\w*|verify|integration-test|check|lint\w*|detekt|sonar\w*|ktlint\w*|spotbugs\w*|pmd\w*|checkstyle\w*|dependency-?check\w*|surefire|failsafe"
    r"|(?!assemble|bundle|compile|install|build)[a-z]\w*(?:Test|Check))(?::\w+)?"
)
_SCRIPT_RUNNERS = frozenset({"bun", "npm", "pnpm", "yarn"})
_SCRIPT_WORDS = frozenset({
    "analyse", "audit", "check", "checks", "cypress", "e2e", "lint", "phpstan", "playwright", "scan", "spec", "specs", "test", "testonly",
    "tests", "typecheck", "unit", "verify",
})  # fmt: skip
_OTHER_WORDS = frozenset({
    "add", "build", "clean", "create", "data", "db", "delete", "deploy", "deps", "dev", "docs", "down", "env", "fix", "format", "image",
    "install", "logs", "migrate", "open", "platform", "prepare", "publish", "pull", "push", "remove", "report", "reset", "seed", "serve",
    "server", "setup", "start", "stop", "up", "update", "upload", "watch",
})  # fmt: skip
"""With one of these words, a task such as ``lint:fix`` or ``build:test`` is no test itself."""
_STARTERS = {
    "npx": "-p --package -w --workspace", "bunx": "-p --package", "pnpx": "", "uvx": "--from --with --python -p", "xvfb-run": "-s -n -e -f",
    "cross-env": "", "env-cmd": "-f", "dotenv": "-e -f -c", "nyc": "", "c8": "", "node": "-r --require", "ruby": "-I -r",
}  # fmt: skip
"""Programs that run the program that is their first operand, and their options with a value."""
_STARTING = {
    "npm": ("exec", "x"), "pnpm": ("exec", "dlx"), "yarn": ("exec", "dlx", "run", "npm"), "bun": ("x", "run"), "poetry": ("run",),
    "uv": ("run",), "pipenv": ("run",), "pdm": ("run",), "hatch": ("run",), "rye": ("run",), "pipx": ("run",), "bundle": ("exec",),
    "composer": ("exec",), "go": ("run", "tool"), "symfony": ("php",), "mise": ("exec", "x"),
}  # fmt: skip
"""Programs that run another one with these subcommands."""
_VALUED = frozenset({
    "-C", "-d", "-f", "-w", "-F", "-P", "-p", "-n", "-x", "-pl", "--prefix", "--workspace", "--cwd", "--filter", "--dir", "--file",
    "--directory", "--project-dir", "--working-dir", "--package", "--with", "--python", "--group", "--extra", "--env-file",
    "--exclude-task", "--chdir", "--namespace", "--kube-context", "-scheme", "-project", "-workspace", "-destination", "-sdk",
    "-configuration",
})  # fmt: skip
"""Options with a value of the programs above."""
_NO_RUN = frozenset({
    "--version", "-V", "--help", "-h", "--collect-only", "--co", "--listTests", "--list-tests", "--clearCache", "--clear-cache",
    "--install-types", "--update", "--download-db-only", "--download-java-db-only", "--print-config", "--showConfig", "--show-config",
    "--init", "--env-info", "--list-files", "--listFiles", "--show-settings", "--fixtures",
})  # fmt: skip
"""Options with which a program tests nothing."""
_NO_RUN_SUBCOMMANDS = frozenset({"version", "help", "install", "login", "config", "auth", "db", "plugin", "completion", "init"})
_TOLERANT = re.compile(
    r"--(?:exit-code|issues-exit-code)=0|--exit-zero|--soft-fail|--no-fail|-no-fail|--no-exit-code|--fail-on=none|--audit-level=none|--continue-on-error"
    r"|--suppress-exit-code|--suppress-tests-failed-exit-code|--ignore-violations-on-exit|--nostatusrc|--fail-never"
    r"|-Dmaven\.test\.failure\.ignore(?:=true)?|-DtestFailureIgnore=true"
)
"""Options with which a test passes whatever it finds; further ones whose value is the next word, and those of a single program."""
_TOLERANT_PAIRS = frozenset({("--exit-code", "0"), ("--issues-exit-code", "0"), ("--fail-on", "none"), ("--audit-level", "none")})
_TOLERANT_SHORT = {
    "make": ("-i", "--ignore-errors"), "gmake": ("-i", "--ignore-errors"), "mvn": ("-fn",), "mvnw": ("-fn",), "newman": ("-x",),
    "checkov": ("-s",), "tfsec": ("-s",),
}  # fmt: skip
_FIXING = frozenset({"--fix", "--write", "-w", "-a", "-A", "--auto-correct", "--autocorrect"})
_SUFFIX = re.compile(r"\.(?:phar|sh|bat|cmd|js|mjs|rb)$")
_MAX_STARTERS = 8
"""Maximum number of programs that start one another."""


@dataclass(frozen=True, slots=True)
class Check:
    """
    A test or scan.

    :param tool: the program.
    :param operands: what it is told to test, without options.
    :param tolerant: the option with which it passes whatever it finds.
    :param fixes: whether it changes files, so that its result may not matter.
    """

    tool: str
    operands: tuple[str, ...]
    tolerant: str | None
    fixes: bool


def check_of(command: Command) -> Check | None:
    """The test or scan that a command is; None if it is none, or only starts one in a container."""
    if (image := image_within(command)) and not command.nested:  # else what runs in it is a command of its own
        name, arguments = _image_name(image[0].text), [word.text for word in image[1:]]
        return _made(name, arguments) if (name in _ALWAYS or name in _SUBCOMMANDS) and _tests(name, arguments) else None
    return _check([word.text for word in command.effective])


def _check(words: Sequence[str]) -> Check | None:
    for _ in range(_MAX_STARTERS):
        if not words:
            return None
        name, arguments = _name(words[0]), words[1:]
        if _tests(name, arguments):
            return _made(name, arguments)
        words = _started(name, arguments)
    return None


def _made(name: str, arguments: Sequence[str]) -> Check:
    return Check(name, _operands(arguments), _tolerant(name, arguments), not _FIXING.isdisjoint(arguments))


def _name(word: str) -> str:
    """``vendor/bin/phpunit.phar``, ``jest@29``, ``python3.12``: without what may differ."""
    name = _SUFFIX.sub("", base_name(word if word.startswith(("/", ".")) else word.rpartition("@")[0] or word))
    return "python" if re.fullmatch(r"(?:python|pypy)[\d.]*", name) else "php" if re.fullmatch(r"php[\d.]+", name) else name


def _image_name(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].removesuffix("-cli")


def _operands(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments without options, their values, and settings such as ``A=b``."""
    operands: list[str] = []
    skip = False
    for text in arguments:
        if skip:
            skip = False
        elif text.startswith("-"):
            skip = text in _VALUED
        elif "=" not in text and not text.startswith("+"):
            operands.append(text)
    return tuple(operands)


def _tests(name: str, arguments: Sequence[str]) -> bool:
    if not _NO_RUN.isdisjoint(arguments):
        return False
    operands = _operands(arguments)
    first = operands[0] if operands else ""
    if name in _ALWAYS:
        return first not in _NO_RUN_SUBCOMMANDS
    if any(f"{' '.join(operands[:2])} ".startswith(f"{subcommand} ") for subcommand in _SUBCOMMANDS.get(name, ())):
        return True
    if first not in _NO_RUN_SUBCOMMANDS and not set(_OPTIONS.get(name, ())).isdisjoint(text.partition("=")[0] for text in arguments):
        return True
    if name == "xcodebuild":  # ``xcodebuild clean test``
        return not {"test", "test-without-building"}.isdisjoint(operands)
    if name in _BUILDS:
        skips = any(re.fullmatch(r"-(?:DskipTests|Dmaven\.test\.skip)(?:=true)?", text) for text in arguments)
        if name in ("mvn", "mvnw") and _tolerant(name, arguments):
            return not skips  # most phases run tests
        return not skips and any(_BUILD_TASK.fullmatch(text.rpartition(":")[2]) or _BUILD_TASK.fullmatch(text) for text in operands)
    if name in _TASK_RUNNERS:
        return _runs_a_task(name, arguments, operands)
    return name in _SCRIPT_RUNNERS and _runs_a_script(name, operands)


def _runs_a_task(name: str, arguments: Sequence[str], operands: tuple[str, ...]) -> bool:
    if name == "fastlane" and "scan" in operands:
        return True
    if name == "rails" or name == "composer":
        operands = operands[1:2] if operands[:1] in (("run",), ("run-script",)) else operands[:1]
    targets = [text.partition("=")[2] for text in arguments if text.startswith(("--target=", "--targets="))]
    targets += [value for option, value in pairwise(arguments) if option in ("-t", "--target", "--targets") and name == "nx"]
    return any(map(_is_test, (*operands, *targets)))


def _runs_a_script(name: str, operands: tuple[str, ...]) -> bool:
    if operands[:1] == ("workspace",) or operands[:2] == ("workspaces", "run"):
        operands = operands[2:]
    first, second = (*operands, "", "")[:2]
    if first in ("audit", "test", "t", "tst", "install-test", "it", "cit"):
        return not (first == "audit" and second in ("fix", "signatures"))
    if first in ("run", "run-script", "rum", "urn"):
        return _is_test(second)
    return name != "npm" and _is_test(first)


def _is_test(task: str) -> bool:
    """Whether a task is a test by its name, such as ``test:unit`` or ``lint-css``."""
    task = task.partition(" ")[0]  # sbt's are words with arguments
    words = [word for word in re.split(r"[^a-z0-9]+", task.lower()) if word]
    if "/" in task or "." in task or not words:
        return False
    return not (_SCRIPT_WORDS.isdisjoint(words) and words[0] not in _ALWAYS) and _OTHER_WORDS.isdisjoint(words)


def _started(name: str, arguments: Sequence[str]) -> Sequence[str]:
    """The words of the program that a program starts."""
    if name in ("python", "coverage") and "-m" in arguments[:6]:
        return arguments[arguments.index("-m") + 1 :]
    if name in ("python", "php"):
        return _behind_options(arguments, "-d -W -X -c -r")
    if name == "coverage":
        return _behind_options(arguments[1:], "") if arguments[:1] == ["run"] else ()
    if name in _STARTERS:
        return _behind_options(arguments, _STARTERS[name])
    rest = _behind_options(arguments, " ".join(_VALUED))
    if name in _STARTING and rest and rest[0] in _STARTING[name]:
        return [name, *rest[1:]] if rest[0] == "npm" else _behind_options(rest[1:], " ".join(_VALUED))
    return rest if name in ("yarn", "pnpm") else ()


def _behind_options(arguments: Sequence[str], valued: str) -> Sequence[str]:
    position, options = 0, frozenset(valued.split())
    while position < len(arguments) and (arguments[position].startswith("-") or "=" in arguments[position]):
        position += 2 if arguments[position] in options else 1
    return arguments[position:]


def _tolerant(name: str, arguments: Sequence[str]) -> str | None:
    for text in arguments:
        if _TOLERANT.fullmatch(text):
            return text.replace("=", " ") if text.startswith("--") else text
        if text in _TOLERANT_SHORT.get(name, ()) or (name in ("make", "gmake") and re.fullmatch("-[a-zA-Z]{0,5}i[a-zA-Z]{0,5}", text)):
            return f"{name} {text}"
    return next((" ".join(pair) for pair in pairwise(arguments) if pair in _TOLERANT_PAIRS), None)
