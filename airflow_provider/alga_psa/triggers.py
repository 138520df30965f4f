"""Triggers for asset watchers: an event for each AlgaPSA execution that ends. Experimental, like all of AlgaPSA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.alga_psa.sensors import TRIGGER_TYPES
from airflow_provider.execution.asset_watching.trigger import ExecutionFinishedTrigger
from airflow_provider.execution.model.arguments import flag, json_object, one_of

if TYPE_CHECKING:
    from airflow_provider.alga_psa.hook import AlgaPsaHook


class AlgaPsaRuleFinishedTrigger(ExecutionFinishedTrigger):
    """
    Emit an event for each execution of an AlgaPSA rule that ends, whoever started it.

    Source: ``GET /api/v1/automation/executions``, then ``GET /api/v1/automation/executions/{id}`` for those that have ended.

    .. seealso:: :class:`~airflow_provider.execution.asset_watching.trigger.ExecutionFinishedTrigger` for the event,
        ``phases``, ``catch_up`` and ``poll_interval``.

    :param rule: id or exact name.
    :param trigger_type: only executions of this trigger type, such as ``event_based``.
    :param trigger_data: only executions whose data contains exactly these entries; JSON.
    :param dry_runs: whether to include dry runs.
    :param alga_psa_conn_id: connection of type ``alga_psa``.
    """

    target: ClassVar[Sequence[str]] = ("rule", "trigger_type", "alga_psa_conn_id")
    filters: ClassVar[Sequence[str]] = ("trigger_data", "dry_runs")

    def __init__(
        self,
        *,
        rule: str,
        trigger_type: str | None = None,
        trigger_data: Mapping[str, Any] | None = None,
        dry_runs: bool = False,
        alga_psa_conn_id: str = "alga_psa_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_texts(rule=rule, trigger_type=trigger_type, alga_psa_conn_id=alga_psa_conn_id)
        if trigger_type:
            one_of(trigger_type, TRIGGER_TYPES, "trigger_type")
        self.rule = rule
        self.trigger_type = trigger_type
        self.trigger_data: dict[str, Any] | None = None if trigger_data is None else json_object(trigger_data, "trigger_data")
        self.dry_runs = flag(dry_runs, "dry_runs")
        self.alga_psa_conn_id = alga_psa_conn_id

    def make_hook(self) -> AlgaPsaHook:
        """The hook for this watcher's connection."""
        from airflow_provider.alga_psa.hook import AlgaPsaHook

        return AlgaPsaHook(self.alga_psa_conn_id)

    def where(self, hook: AlgaPsaHook) -> dict[str, Any]:
        """The rule, and the trigger type of its executions."""
        return {"rule": self.rule, "trigger_type": self.trigger_type or None}
