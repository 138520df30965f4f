"""The required action by which a task asks a person in Airflow: what it shows, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider._text import on_one_line
from airflow_provider.errors import ExecutionError
from airflow_provider.execution.model.arguments import scalar_text

if TYPE_CHECKING:
    from datetime import datetime

APPROVE = "Approve"
DECLINE = "Decline"
OPTIONS = (APPROVE, DECLINE)
ANSWERED_BY = "AIRFLOW_ANSWERED_BY"
TRIGGERED_BY = "AIRFLOW_TRIGGERED_BY"
"""Names of the variables by which the other system learns who answered in Airflow, and who triggered the DAG run."""


@dataclass(frozen=True)
class FormField:
    """
    A variable that the gate asks for.

    :param value: what the field shows at first; None for nothing.
    :param choices: if the gate offers a few values only.
    """

    value: str | None = None
    description: str | None = None
    choices: Sequence[str] = ()

    def as_param(self) -> dict[str, Any]:
        """As Airflow stores it: an empty field can't be sent, unless it was empty from the beginning."""
        schema: dict[str, Any] = {"type": "string", "enum": list(self.choices)} if self.choices else {"type": "string"}
        if self.value is None and not self.choices:
            schema["minLength"] = 1
        return {"value": self.value, "description": self.description, "schema": schema}


@dataclass(frozen=True)
class Question:
    """
    What a gate asks.

    :param gate: its id, see :meth:`~airflow_provider.execution.model.snapshot.Snapshot.waits_at`.
    :param facts: what a person has to know: name to text.
    :param fields: the form: name of a variable to its field.
    :param not_here: why the gate can't be opened from Airflow, as a sentence; None if it can.
    """

    gate: str
    facts: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, FormField] = field(default_factory=dict)
    not_here: str | None = None

    @property
    def options(self) -> list[str]:
        """What a person can choose."""
        return [DECLINE] if self.not_here else list(OPTIONS)

    def body(self, title: str, url: str | None, more: str | None) -> str:
        """
        The text, as Markdown. Facts and reasons come from outside: in a fenced block none of them can become a link or an image.

        :param title: name of the system. :param url: page of the execution. :param more: the DAG author's own text.
        """
        width = max(map(len, self.facts), default=0) + 1
        lines = [f"{name + ':':<{width}} {text}" for name, text in self.facts.items()]
        if self.not_here:
            lines += ["", self.not_here]
        parts = [more, "\n".join(["~~~text", *lines, "~~~"])]
        if url:
            parts.append(f"[Look at it in {title}](<{url}>)")
        parts.append(f"**{DECLINE}** cancels the execution: {title} has no other way to decline.")
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True)
class Answer:
    """
    What was answered. JSON by :func:`dataclasses.asdict`, without the values.

    :param option: what was chosen.
    :param values: the form, as it was sent.
    :param user, user_id: who answered, as Airflow's auth manager names them; None for nobody in Airflow.
    :param at: ISO 8601.
    """

    option: str
    values: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None
    user_id: str | None = None
    at: str | None = None

    @classmethod
    def of(cls, payload: object) -> Answer | None:
        """The answer in an event: in that of Airflow itself, or in that of our trigger. None if it holds none."""
        if isinstance(payload, dict) and isinstance(payload.get("answer"), dict):
            payload = payload["answer"]
        if not isinstance(payload, dict) or not payload.get("chosen_options"):
            return None
        by: Mapping[str, Any] = payload.get("responded_by_user") or {}
        at: datetime | str | None = payload.get("responded_at")
        return cls(
            option=str(payload["chosen_options"][0]),
            values=payload.get("params_input") or {},
            user=by.get("name"),
            user_id=by.get("id"),
            at=at if at is None or isinstance(at, str) else at.isoformat(),
        )

    @property
    def by(self) -> str:
        """Who answered, for messages."""
        return self.user or self.user_id or "Somebody"

    @property
    def noted(self) -> dict[str, Any]:
        """What a note keeps of it: no values, which may be long."""
        return {name: value for name, value in asdict(self).items() if name != "values"}

    def values_for(self, question: Question) -> dict[str, str]:
        """
        The values that the gate asked for, and no others: whoever answers by the API can send anything.

        :raises ExecutionError: for an answer that was not offered, or that leaves out what was asked.
        """
        if self.option not in question.options:
            raise ExecutionError(f"{self.by} answered {self.option!r}, which was not offered. Nothing was sent; a retry asks again.")
        values: dict[str, str] = {}
        for name, asked in question.fields.items():
            value = self.values.get(name, asked.value)
            if value is None or (value == "" and asked.value is None and not asked.choices):
                raise ExecutionError(f"{self.by} gave no value for {on_one_line(name)}. Nothing was sent; a retry asks again.")
            text = scalar_text(value)
            if text is None or (asked.choices and text not in asked.choices):
                problem = "that was not offered" if text is not None else "that is a list or a dict, not a text"
                raise ExecutionError(f"{self.by} gave a value for {on_one_line(name)} {problem}. Nothing was sent; a retry asks again.")
            values[name] = text
        return values
