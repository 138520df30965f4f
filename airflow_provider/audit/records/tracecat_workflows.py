"""
Facts of definitions of Tracecat workflows.

They come in three forms: as exported (``{"definition": {...}}``) or committed (``content`` of an answer about definitions), with a list of
actions; bare, as in a file of a repository; and as the answer about a workflow, with the actions by id and their arguments as YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import yaml

from airflow_provider.audit.analysis.scalars import flag, is_unreadable, number
from airflow_provider.audit.facts.fact import Damage, Subject
from airflow_provider.audit.facts.origin import Origin
from airflow_provider.audit.facts.workflow import WorkflowAction, WorkflowFacts, WorkflowWebhook, is_too_deep

MAX_ARGUMENTS = 200_000
"""Characters of the arguments of one action that are read."""
MAX_DAMAGE = 1_000
"""Maximum number of values of one workflow that are named because they could not be read."""
_EXPRESSIONS = ("run_if", "for_each", "wait_until", "environment", "interaction")
_VALUES = ("inputs", "static_inputs", "returns", "description", "config")
_ONLINE = {"online": True, "offline": False}


def is_workflow(data: Any) -> bool:
    """Whether plain data has one of the three forms."""
    if not isinstance(data, Mapping) or "kind" in data:
        return False
    return _is_bare(_definition(data)) or _is_answer(data)


def _is_bare(data: Any) -> bool:
    if not isinstance(data, Mapping) or not isinstance(data.get("actions"), list):
        return False
    actions = data["actions"]
    known = [item for item in actions if isinstance(item, Mapping) and "ref" in item and "action" in item]
    return "entrypoint" in data and (bool(known) or not actions)


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
    reader = _Reader(subject.origin)
    config = reader.mapping(definition.get("config"), f"{prefix}config", "config")
    return WorkflowFacts(
        subject=subject,
        fields=frozenset({*data, *definition}),
        seen_at=seen_at,
        id=str(data.get("id") or data.get("workflow_id") or subject.id),
        name=subject.title,
        online=_ONLINE.get(str(data.get("status"))),
        timeout=reader.number(config.get("timeout"), f"{prefix}config.timeout", "config"),
        error_handler=reader.text(definition.get("error_handler"), f"{prefix}error_handler", "error_handler"),
        actions=tuple(reader.actions(definition, prefix)),
        webhook=reader.webhook(data.get("webhook")),
        path=prefix,
        values=dict(reader.values(definition, prefix)),
        damage=tuple(reader.damage),
    )


def title_of(data: Mapping[str, Any]) -> str | None:
    """Title or alias of a workflow."""
    definition = _definition(data)
    return _text(definition.get("title") or data.get("alias"))


class _Reader:
    """
    Reads values, and notes those that it can't read.

    Each has the path of the value, and the name by which rules read it.
    """

    def __init__(self, origin: Origin | None) -> None:
        self._origin = origin
        self._names: set[str] = set()
        self.damage: list[Damage] = []

    def lost(self, path: str, name: str, why: str = "its value is not what Tracecat's contract says", *, cut: bool = False) -> None:
        """Note that a value could not be read. However many there are, each name is noted, so that no rule passes."""
        if len(self.damage) < MAX_DAMAGE or name not in self._names:
            self._names.add(name)
            where = f"{self._origin.file}, line {self._origin.at(path).line}: " if self._origin else ""
            self.damage.append(Damage(name, cut, f"{where}{why}", path))

    def number(self, value: Any, path: str, name: str) -> float | None:
        """A number, also if it is written as a text."""
        if value is not None and number(value) is None:
            self.lost(path, name)
        return number(value)

    def text(self, value: Any, path: str, name: str) -> str | None:
        """A text; None if it is empty."""
        if isinstance(value, (Mapping, list)):
            self.lost(path, name)
            return None
        return None if value is None or value == "" else str(value)

    def mapping(self, value: Any, path: str, name: str) -> Mapping[str, Any]:
        """An object; an empty one if there is none."""
        if value is not None and not isinstance(value, Mapping):
            self.lost(path, name)
        return value if isinstance(value, Mapping) else {}

    def actions(self, definition: Mapping[str, Any], prefix: str) -> Iterator[WorkflowAction]:
        """The actions, by id or in a list."""
        actions = definition.get("actions")
        if "actions" not in definition:
            self.lost(f"{prefix}actions", "actions", "the actions are not part of what was read")
        elif isinstance(actions, Mapping):
            for id, item in actions.items():
                if self._is_action(item, f"actions.{id}", "type"):
                    yield self._of_answer(f"actions.{id}", item)
        elif isinstance(actions, list):
            for position, item in enumerate(actions):
                path = f"{prefix}actions[{position}]"
                if self._is_action(item, path, "action"):
                    yield self._action(path, item, item.get("args"), item)
        else:
            self.lost(f"{prefix}actions", "actions")

    def _is_action(self, item: Any, path: str, kind: str) -> bool:
        if isinstance(item, Mapping) and not isinstance(item.get(kind), str):
            self.lost(f"{path}.{kind}", "actions")  # the rest may still be judged
        elif not isinstance(item, Mapping):
            self.lost(path, "actions")
        return isinstance(item, Mapping)

    def _of_answer(self, path: str, item: Mapping[str, Any]) -> WorkflowAction:
        inputs = item.get("inputs")
        named = {**item, "ref": item.get("ref") or item.get("title"), "action": item.get("type")}
        control = self.mapping(item.get("control_flow"), f"{path}.control_flow", "retry_policy")
        if isinstance(inputs, str) and len(inputs) > MAX_ARGUMENTS:
            self.lost(f"{path}.args", "args", f"it has more than {MAX_ARGUMENTS:,} characters")
            return self._action(path, named, None, control, read=False)
        try:
            arguments = yaml.safe_load(inputs) if isinstance(inputs, str) else inputs
        except (yaml.YAMLError, ValueError, RecursionError):
            self.lost(f"{path}.args", "args", "it is not valid YAML")
            return self._action(path, named, None, control, read=False)
        return self._action(path, named, arguments, control)

    def _action(
        self, path: str, item: Mapping[str, Any], arguments: Any, control: Mapping[str, Any], *, read: bool = True
    ) -> WorkflowAction:
        policy = self.mapping(control.get("retry_policy"), f"{path}.retry_policy", "retry_policy")
        attempts = self.number(policy.get("max_attempts"), f"{path}.retry_policy.max_attempts", "retry_policy")
        values = self.mapping(arguments, f"{path}.args", "args")
        if is_too_deep(values):
            self.lost(f"{path}.args", "args", "it is too deeply nested to be checked as a whole", cut=True)
        return WorkflowAction(
            path=path,
            ref=str(item.get("ref") or item.get("title") or "?"),
            type=str(item.get("action") or ""),
            arguments=values if read and (arguments is None or isinstance(arguments, Mapping)) else None,
            attempts=None if attempts is None else int(attempts),
            timeout=self.number(policy.get("timeout"), f"{path}.retry_policy.timeout", "retry_policy"),
            retry_until=self.text(policy.get("retry_until"), f"{path}.retry_policy.retry_until", "retry_policy"),
            interaction=self._interaction(item.get("interaction"), f"{path}.interaction"),
            masked=flag(control.get("mask_output")),
            expressions=dict(
                (
                    *self._some(control, _EXPRESSIONS, f"{path}." if control is item else f"{path}.control_flow."),
                    *self._some(item, ("description",), f"{path}."),
                )
            ),
        )

    def values(self, definition: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        """Inputs, results, description and settings of the workflow, and the defaults of what it expects."""
        yield from self._some(definition, _VALUES, prefix)
        expects = definition.get("expects")
        for name, field in expects.items() if isinstance(expects, Mapping) else ():
            if isinstance(field, Mapping):
                yield from self._some(field, ("default",), f"{prefix}expects.{name}.")
        schedules = definition.get("schedules")
        for position, schedule in enumerate(schedules if isinstance(schedules, list) else ()):
            if isinstance(schedule, Mapping):
                yield from self._some(schedule, ("inputs",), f"{prefix}schedules[{position}].")

    def _some(self, owner: Mapping[str, Any], names: Iterable[str], prefix: str) -> Iterator[tuple[str, Any]]:
        for name in names:
            if (value := owner.get(name)) is not None:
                if is_too_deep(value):
                    self.lost(f"{prefix}{name}", "args", "it is too deeply nested to be checked as a whole", cut=True)
                yield f"{prefix}{name}", value

    def _interaction(self, data: Any, path: str) -> Mapping[str, Any] | None:
        interaction = self.mapping(data, path, "interaction")
        timeout = self.number(interaction.get("timeout"), f"{path}.timeout", "interaction")
        return {**interaction, "timeout": timeout} if isinstance(data, Mapping) else None

    def webhook(self, data: Any) -> WorkflowWebhook | None:
        """The webhook; None if it is not part of what was read."""
        webhook = self.mapping(data, "webhook", "webhook")
        status, key, networks = webhook.get("status"), webhook.get("api_key"), webhook.get("allowlisted_cidrs")
        if not isinstance(data, Mapping):
            return None
        if status is not None and status not in ("online", "offline"):
            self.lost("webhook.status", "webhook")
        if networks is not None and not isinstance(networks, list):
            self.lost("webhook.allowlisted_cidrs", "webhook")
        return WorkflowWebhook(
            path="webhook",
            online=_ONLINE.get(str(status)),
            has_key=self._has_key(key) if "api_key" in webhook else None,
            networks=tuple(str(item) for item in networks) if isinstance(networks, list) else (),
        )

    def _has_key(self, key: Any) -> bool | None:
        """Whether a key is needed; None if that can't be told."""
        if key is None:
            return False
        if not isinstance(key, Mapping) or is_unreadable(key.get("is_active")):
            self.lost("webhook.api_key", "webhook")
            return None
        return flag(key.get("is_active")) is not False and not key.get("revoked_at")


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
