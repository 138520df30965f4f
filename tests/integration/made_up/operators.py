"""Operator for Kiln."""

from typing_extensions import Unpack

from airflow_provider.execution.model.request import Flow, send
from airflow_provider.execution.model.snapshot import Snapshot
from airflow_provider.execution.tasks.operator import ExecutionOperator
from airflow_provider.execution.tasks.signatures import ExecutionArguments
from tests.integration.made_up.adapter import LIST, START, snapshot_of
from tests.integration.made_up.hook import KilnHook, KilnTask


class KilnFireOperator(KilnTask, ExecutionOperator[KilnHook, None]):
    template_fields = ("note", *ExecutionOperator.template_fields)
    argument_kinds = {"note": "free text"}

    def __init__(self, *, recipe: int, note: str | None = None, **kwargs: Unpack[ExecutionArguments]) -> None:
        super().__init__(**kwargs)
        self.recipe, self.note = recipe, note

    def _start(self, hook: KilnHook, plan: None, marker: str) -> Flow[Snapshot]:
        return snapshot_of((yield from send(START(body={"note": self.note, "label": marker}, recipe=self.recipe))))

    def _find(self, hook: KilnHook, plan: None, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        return [snapshot_of(one) for one in (yield from send(LIST(recipe=self.recipe))) if one.label == marker], True
