"""How Buddy actions handle errors, and which actions are disabled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from airflow_provider.audit.analysis.shell.tolerated import Tolerated, tolerated_checks
from airflow_provider.audit.facts.action import SCRIPT_FIELDS, ActionFacts
from airflow_provider.audit.facts.commands import Commands
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.purpose import DEPLOYMENTS, purposes, tolerated_in_line
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

MAX_LINE = 2_000
"""Maximum number of characters of a PowerShell line that are looked at for what lets it pass."""


@rule(
    "BDY014",
    "Errors ignored",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("ignore_errors", "trigger_time", "name", "type", "shell", *SCRIPT_FIELDS),
    needs=("EXECUTION_INFO",),
)
def errors_ignored(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution continues when the action fails, and may end as successful; or the commands let a test or scan pass that has failed:
    ``npm test || true``, ``if ! npm test; then echo failed; fi``, ``trivy --exit-code 0``. Severity is higher for an action that seems to
    be a test, a scan or a migration. Confidence is low for a notification, for a deployment, to which the field does not apply, and for
    commands that may be meant so, such as ``npm test | tee log`` without ``set -o pipefail``.

    Why:
    A failed scan does not stop a release; a failed migration is followed by the deployment that needs it.

    Fix:
    Turn ``ignore_errors`` off. To let a single command fail that is no test or scan, append ``|| true`` to it. To do something after a
    failed test, fail afterwards: ``npm test || { cat test.log; exit 1; }``.

    Before:
    {"name": "Security scan", "ignore_errors": true}

    After:
    {"name": "Security scan", "ignore_errors": false}
    """
    if not action.has_fields("ignore_errors"):
        yield not_available("ignore_errors is not visible")
    reported: set[tuple[str, int, str]] = set()
    for commands in action.scripts():
        for found in _tolerated(commands):
            if (place := (commands.path, found.line, found.shown)) not in reported:
                reported.add(place)
                message = f"A failed test or scan counts as passed: {found.shown}."
                yield fail(commands.path_at(found.line), found.shown, message, confidence=found.confidence)
    if action.has_fields("ignore_errors") and action.config.ignore_errors:
        purpose = purposes(action)
        if action.config.type in DEPLOYMENTS:
            message = f"It is set, and does not apply to actions of type {action.config.type}."
            yield fail("ignore_errors", True, message, severity=Severity.INFO, confidence=Confidence.LOW)
        elif purpose & {"check", "change", "approval"}:
            yield fail("ignore_errors", True, "Errors of a test, scan or change are ignored.", severity=Severity.HIGH)
        elif "notice" in purpose:
            message = "Errors of a notification are ignored."
            yield fail("ignore_errors", True, message, severity=Severity.LOW, confidence=Confidence.LOW)
        elif action.config.trigger_time in ("ON_FAILURE", "ON_TERMINATE", "ON_WARNING"):
            message = "Errors are ignored in an action that runs after a failure."
            yield fail("ignore_errors", True, message, severity=Severity.LOW, confidence=Confidence.MEDIUM)
        else:
            yield fail("ignore_errors", True, "The execution continues when the action fails.")


def _tolerated(commands: Commands) -> Iterator[Tolerated]:
    """The tests and scans whose failure counts as success, each with its line in the whole text."""
    if (commands.shell or "").upper() in ("POWERSHELL", "PWSH"):
        for number, line in enumerate(commands.text.split("\n"), 1):
            if shown := tolerated_in_line(line[:MAX_LINE].strip()):
                yield Tolerated(number, shown, Confidence.MEDIUM)
        return
    for before, script in commands.parsed:
        yield from (replace(found, line=before + found.line) for found in tolerated_checks(script))


@rule(
    "BDY015",
    "All commands run regardless of failures",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("execute_every_command", "execute_commands", "setup_commands", "inline_commands"),
    needs=("EXECUTION_INFO",),
)
def every_command_runs(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    After a failed command the following commands still run. Severity is higher for an action that seems to deploy or migrate.

    Why:
    Commands depend on the ones before them: after a failed build the old artefact is published.

    Fix:
    Turn ``execute_every_command`` off; move commands that must run after a failure into an action with the trigger ``ON_FAILURE``.

    Before:
    {"execute_commands": ["./migrate.sh", "./deploy.sh"], "execute_every_command": true}

    After:
    {"execute_commands": ["./migrate.sh", "./deploy.sh"], "execute_every_command": false}
    """
    if not action.has_fields("execute_every_command"):
        yield not_available("execute_every_command is not visible")
    elif action.config.execute_every_command:
        lines = [
            line for script in action.scripts() for line in script.text.splitlines() if line.strip() and not line.lstrip().startswith("#")
        ]
        message = "Commands run after one that failed."
        if len(lines) < 2:
            yield fail("execute_every_command", True, message, severity=Severity.LOW, confidence=Confidence.MEDIUM)
        else:
            yield fail("execute_every_command", True, message, severity=Severity.HIGH if "change" in purposes(action) else None)


@rule(
    "BDY024",
    "Disabled guard",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("disabled", "name", "trigger_time", "type"),
    needs=("EXECUTION_INFO",),
)
def disabled_guard(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An approval, a test or a scan is disabled.

    Why:
    It was probably disabled for one run and never enabled again. What it should stop goes through.

    Fix:
    Enable it, or delete it if it is not needed.

    Before:
    {"type": "WAIT_FOR_APPLY", "name": "Approve release", "disabled": true}

    After:
    {"type": "WAIT_FOR_APPLY", "name": "Approve release", "disabled": false}
    """
    if not action.has_fields("disabled"):
        yield not_available("disabled is not visible")
        return
    purpose = purposes(action)
    approval = "approval" in purpose or action.config.trigger_time == "ON_WAIT_FOR_APPROVE"
    if not approval and "check" not in purpose:
        yield not_applicable("it seems to be no approval, test or scan")
    elif action.config.disabled:
        kind = "An approval" if approval else "A test or scan"
        yield fail("disabled", True, f"{kind} is disabled.")


@rule(
    "BDY025",
    "Unused or conflicting fields",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.INFO,
    confidence=Confidence.HIGH,
    reads=(
        "run_only_on_first_failure",
        "trigger_time",
        "docker_build_action_id",
        "docker_build_action_name",
        "docker_image_name",
        "package",
        "image_location",
        "region",
        "docker_registry",
        "mount_filesystem_disable",
        "volume_mappings",
    ),
    needs=("EXECUTION_INFO",),
)
def conflicting_fields(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A field is set that has no effect because of another field.

    Why:
    It misleads readers: the action seems to run on failures, or the image seems to be the one just built.

    Fix:
    Clear the field, or correct the other one.

    Before:
    {"trigger_time": "ON_EVERY_EXECUTION", "run_only_on_first_failure": true}

    After:
    {"trigger_time": "ON_FAILURE", "run_only_on_first_failure": true}
    """
    if not action.has_fields("trigger_time", "run_only_on_first_failure", "image_location"):
        yield not_available("the fields are not visible")
        return
    where, registry = action.config.image_location, action.config.docker_registry
    if action.config.run_only_on_first_failure and action.config.trigger_time not in (None, "ON_FAILURE"):
        yield fail("run_only_on_first_failure", True, f"It applies to the trigger ON_FAILURE only, not to {action.config.trigger_time}.")
    for field in ("docker_build_action_id", "docker_build_action_name"):
        if (value := getattr(action.config, field)) and where not in (None, "ACTION"):
            yield fail(field, value, f"The image comes from {where}, not from an action.")
            break
    if action.config.package and where not in (None, "PACKAGE_REGISTRY"):
        yield fail("package", action.config.package, f"The image comes from {where}, not from a package.")
    if action.config.docker_image_name and where in ("ACTION", "PACKAGE_REGISTRY"):
        source = "an action" if where == "ACTION" else "a package"
        yield fail("docker_image_name", action.config.docker_image_name, f"The image comes from {source}, not from a registry.")
    if action.config.region and registry not in (None, "AMAZON_ECR", "GOOGLE_ARTIFACT_REGISTRY"):
        yield fail("region", action.config.region, f"The registry {registry} has no regions.")
    if action.config.mount_filesystem_disable and action.config.volume_mappings:
        message = "The pipeline file system is not mounted, so there is nothing to map."
        yield fail("volume_mappings", " ".join(action.config.volume_mappings), message, confidence=Confidence.MEDIUM)
