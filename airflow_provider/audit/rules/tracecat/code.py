"""Code that Tracecat workflows run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider.audit.facts.origin import FieldPath
from airflow_provider.audit.facts.workflow import WorkflowFacts, leaves
from airflow_provider.audit.rules.outcome import Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

_FROM_TRIGGER = re.compile(r"\$\{\{[^{}]*\bTRIGGER\b")
_CODE = frozenset({"script", "command", "commands", "code", "query", "sql", "expression"})
_LAMBDAS = frozenset({"python_lambda", "lambda"})
"""Arguments of any action that are evaluated as Python."""
_CODE_TYPES = ("core.script", "core.ssh", "core.sql", "core.duckdb", "tools.")


@rule(
    "TRC009",
    "Packages without a version",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("actions[].args.dependencies",),
    needs=("workflow:read",),
)
def unpinned_packages(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A Python script installs a package without an exact version.

    Why:
    Tomorrow the same script runs another release, which may behave differently, or be malicious.

    Fix:
    Name the version: ``requests==2.32.3``.

    Before:
    {"action": "core.script.run_python", "args": {"dependencies": ["requests"]}}

    After:
    {"action": "core.script.run_python", "args": {"dependencies": ["requests==2.32.3"]}}
    """
    for action in workflow.actions:
        packages = (action.arguments or {}).get("dependencies")
        if not action.type.startswith("core.script") or packages is None:
            continue
        if not isinstance(packages, list) or not all(isinstance(package, str) for package in packages):
            yield not_available("the packages are an expression, or no list of texts")
        for number, package in enumerate(packages if isinstance(packages, list) else ()):
            if isinstance(package, str) and "==" not in package and not re.search(r"@[0-9a-f]{40}\b", package) and "${{" not in package:
                message = f"{action.ref} installs {package} in any version."
                yield fail(f"{action.path}.args.dependencies[{number}]", f"{action.ref} {package}", message)


@rule(
    "TRC014",
    "Code made of the trigger's data",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.HIGH,
    confidence=Confidence.MEDIUM,
    reads=("actions[].args.script", "actions[].args.command", "actions[].args.query", "actions[].args.python_lambda"),
    needs=("workflow:read",),
)
def code_from_trigger(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A script, a command or a query contains data that started the workflow, or consists of it.

    Why:
    Whoever sends that data can end the text that it is put into, and add code of their own.

    Fix:
    Pass the data as a parameter: ``inputs`` of a script, parameters of a query. Quote it where only a text is possible.

    Before:
    {"action": "core.script.run_python", "args": {"script": "def main():\\n    return '${{ TRIGGER.name }}'"}}

    After:
    {"action": "core.script.run_python", "args": {"script": "def main(name):\\n    return name", "inputs": {"name": "${{ TRIGGER.name }}"}}}
    """
    for action in workflow.actions:
        names = _CODE | _LAMBDAS if action.type.startswith(_CODE_TYPES) else _LAMBDAS
        for path, name, value in leaves(action.arguments, f"{action.path}.args"):
            if name in names and isinstance(value, str):
                for line in sorted({value.count("\n", 0, match.end()) for match in _FROM_TRIGGER.finditer(value)}):
                    message = f"{action.ref} puts data of the trigger into the text of its {name}."
                    yield fail(FieldPath(path, line), f"{action.ref} {name}", message)
