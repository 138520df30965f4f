"""
Facts of definitions of Tracecat workflows.

They come in three forms: as exported (``{"definition": {...}}``) or committed (``content`` of an answer about definitions), with a list of
actions; bare, as in a file of a repository; and as the answer about a workflow, with the actions by id and their arguments as YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import yaml

from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.workflow import WorkflowAction, WorkflowFacts, WorkflowWebhook

MAX_ARGUMENTS = 200_000
"""Characters of the arguments of one action that are read."""


def is_workflow(data: Any) -> bool:
    """Whether plain data has one of the three forms."""
    if not isinstance(data, Mapping) or "kind" in data:
        return False
    return _is_bare(_definition(data)) or _is_answer(data)


def _is_bare(data: Any) -> bool:
    if not isinstance(data, Mapping) or not isinstance(data.get("actions"), list):
        return False
    actions = data["actions"]
    return "entrypoint" in data and all(isinstance(item, Mapping) and "ref" in item and "action" in item for item in actions)


def _is_answer(data: Mapping[str, Any]) -> bool:
    return str(data.get("id", "")).startswith("wf_") and isinstance(data.get("actions"), Mapping)


def _definition(data: Mapping[str, Any]) -> Any:
    return next((data[name] for name in ("definition", "content") if isinstance(data.get(name), Mapping)), data)


def workflow_facts(data: Mapping[str, Any], subject: Subject, seen_at: datetime) -> WorkflowFacts:
    """
    Make facts of a definition.

    :param data: in one of the forms.
    """
    definition = data if _is_answer(data) else _definition(data)
    prefix = "" if definition is data else ("definition." if isinstance(data.get("definition"), Mapping) else "content.")
    config = definition.get("config")
    status = data.get("status")
    return WorkflowFacts(
        subject=subject,
        fields=frozenset({*data, *definition}),
        seen_at=seen_at,
        id=str(data.get("id") or data.get("workflow_id") or subject.id),
        name=subject.title,
        online={"online": True, "offline": False}.get(str(status)),
        timeout=_number(config.get("timeout")) if isinstance(config, Mapping) else None,
        error_handler=_text(definition.get("error_handler")),
        actions=tuple(_actions(definition, prefix)),
        webhook=_webhook(data.get("webhook")),
    )


def title_of(data: Mapping[str, Any]) -> str | None:
    """Title or alias of a workflow."""
    definition = _definition(data)
    return _text(definition.get("title") or data.get("alias"))


def _actions(definition: Mapping[str, Any], prefix: str) -> Iterator[WorkflowAction]:
    actions = definition.get("actions")
    if isinstance(actions, Mapping):
        for id, item in actions.items():
            if isinstance(item, Mapping):
                yield _of_answer(f"actions.{id}", item)
        return
    for number, item in enumerate(actions if isinstance(actions, list) else ()):
        if isinstance(item, Mapping):
            yield _action(f"{prefix}actions[{number}]", item, item.get("args"), item)


def _of_answer(path: str, item: Mapping[str, Any]) -> WorkflowAction:
    inputs = item.get("inputs")
    try:
        read = yaml.safe_load(inputs) if isinstance(inputs, str) and len(inputs) <= MAX_ARGUMENTS else inputs
    except (yaml.YAMLError, ValueError, RecursionError):
        read = inputs
    control = item.get("control_flow")
    named = {**item, "ref": item.get("ref") or item.get("title"), "action": item.get("type")}
    return _action(path, named, read if read is not None else {}, control if isinstance(control, Mapping) else {})


def _action(path: str, item: Mapping[str, Any], arguments: Any, control: Mapping[str, Any]) -> WorkflowAction:
    policy = control.get("retry_policy")
    policy = policy if isinstance(policy, Mapping) else {}
    attempts, interaction = _number(policy.get("max_attempts")), item.get("interaction")
    return WorkflowAction(
        path=path,
        ref=str(item.get("ref") or item.get("title") or "?"),
        type=str(item.get("action") or ""),
        arguments=arguments if isinstance(arguments, Mapping) else {} if arguments is None else None,
        attempts=None if attempts is None else int(attempts),
        timeout=_number(policy.get("timeout")),
        retry_until=_text(policy.get("retry_until")),
        interaction=interaction if isinstance(interaction, Mapping) else None,
        masked=control.get("mask_output") if isinstance(control.get("mask_output"), bool) else None,
    )


def _webhook(data: Any) -> WorkflowWebhook | None:
    if not isinstance(data, Mapping):
        return None
    key, networks = data.get("api_key"), data.get("allowlisted_cidrs")
    active = key.get("is_active") is not False and not key.get("revoked_at") if isinstance(key, Mapping) else False
    return WorkflowWebhook(
        path="webhook",
        online={"online": True, "offline": False}.get(str(data.get("status"))),
        has_key=active if "api_key" in data else None,
        networks=tuple(str(item) for item in networks) if isinstance(networks, list) else (),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15 else None


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
