"""Sensors that wait for AlgaPSA executions. Experimental: releases of AlgaPSA up to 1.4 can't store executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.alga_psa.base import AlgaPsaTask
from airflow_provider.alga_psa.ref import parse_ref
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import flag, json_object, one_of
from airflow_provider.execution.tasks.search_sensor import ExecutionSearchSensor
from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.execution.tasks.target import Target

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider.alga_psa.hook import AlgaPsaHook
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import SearchArguments, SensorArguments

TRIGGER_TYPES = ("time_based", "event_based", "condition_based", "manual", "recurring", "webhook")
"""AlgaPSA's trigger types of executions."""


class AlgaPsaExecutionSensor(AlgaPsaTask, ExecutionSensor["AlgaPsaHook"]):
    """
    Wait for an AlgaPSA execution that somebody or something else started.

    Source: ``GET /api/v1/automation/executions/{id}``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for everything about waiting and outputs.

    :param ref: the execution's UUID.
    :param alga_psa_conn_id: connection of type ``alga_psa``.
    """

    template_fields: Sequence[str] = ("ref", "alga_psa_conn_id", *ExecutionSensor.template_fields)

    def __init__(self, *, ref: str, alga_psa_conn_id: str = "alga_psa_default", **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.alga_psa_conn_id = alga_psa_conn_id

    def _target(self, hook: AlgaPsaHook) -> Target:
        """The execution."""
        return Target(parse_ref(self.ref))


class AlgaPsaRuleSensor(AlgaPsaTask, ExecutionSearchSensor["AlgaPsaHook"]):
    """
    Wait for an execution of an AlgaPSA rule that somebody else, an event or a schedule starts: find it, then wait for its end.

    Source: ``GET /api/v1/automation/executions``, then ``GET /api/v1/automation/executions/{id}``.

    A retry in AlgaPSA changes the start time of an execution, which may bring it within the bounds.

    .. seealso:: :class:`~airflow_provider.execution.tasks.search_sensor.ExecutionSearchSensor` for ``match`` and the bounds,
        :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for everything about waiting and outputs.

    :param rule: id or exact name.
    :param trigger_type: only executions of this trigger type, such as ``event_based``.
    :param trigger_data: only executions whose data contains exactly these entries.
    :param dry_runs: whether to include dry runs.
    :param alga_psa_conn_id: connection of type ``alga_psa``.
    """

    template_fields: Sequence[str] = ("rule", "trigger_type", "trigger_data", "alga_psa_conn_id", *ExecutionSearchSensor.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"trigger_data": "json"}
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"trigger_data": "some json"}

    def __init__(
        self,
        *,
        rule: str,
        trigger_type: str | None = None,
        trigger_data: Mapping[str, Any] | None = None,
        dry_runs: bool = False,
        alga_psa_conn_id: str = "alga_psa_default",
        **kwargs: Unpack[SearchArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.rule = rule
        self.trigger_type = trigger_type
        self.trigger_data = trigger_data
        self.dry_runs = flag(dry_runs, "dry_runs")
        self.alga_psa_conn_id = alga_psa_conn_id

    def _where(self, hook: AlgaPsaHook) -> tuple[str, dict[str, object]]:
        """The rule, and the criteria for its executions."""
        if not str(self.rule or "").strip():
            raise ConfigurationError("AlgaPSA: rule is empty. Set the id or exact name of the rule.")
        if self.trigger_type:
            try:
                one_of(self.trigger_type, TRIGGER_TYPES, "trigger_type")
            except ValueError as error:
                raise ConfigurationError(f"AlgaPSA: {error}.") from None
        data = json_object(self.trigger_data, "AlgaPSA: trigger_data")
        about = f", trigger type {self.trigger_type!r}" if self.trigger_type else ""
        about += f", trigger data with a certain {', '.join(map(repr, data))}" if data else ""
        where: dict[str, object] = {
            "rule": self.rule,
            "trigger_type": self.trigger_type or None,
            "trigger_data": data,
            "dry_runs": self.dry_runs,
        }
        return f"rule {self.rule!r}{about}", where
