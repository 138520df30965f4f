"""Operators that execute AlgaPSA rules, and retry and read executions. Experimental: AlgaPSA up to 1.4 can't store executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider._lazy import Lazy
from airflow_provider.alga_psa.base import AlgaPsaRun, AlgaPsaTask
from airflow_provider.alga_psa.ref import parse_ref
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import flag, json_object
from airflow_provider.execution.tasks.existing import ExecutionGetOperator, ExecutionResumeOperator
from airflow_provider.execution.tasks.operator import ExecutionOperator
from airflow_provider.execution.tasks.start_once import NotOurs

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider.alga_psa.api import requests
    from airflow_provider.alga_psa.executions import lost_starts, mapping
    from airflow_provider.alga_psa.hook import AlgaPsaHook
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import GetArguments, StartArguments
else:
    requests = Lazy("airflow_provider.alga_psa.api.requests")
    lost_starts = Lazy("airflow_provider.alga_psa.executions.lost_starts")
    mapping = Lazy("airflow_provider.alga_psa.executions.mapping")

DEFAULT_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class ExecutePlan:
    """What :class:`AlgaPsaExecuteRuleOperator` executes: the rule's id, and the data without the marker."""

    rule: str
    data: dict[str, Any]


class AlgaPsaExecuteRuleOperator(AlgaPsaRun, ExecutionOperator["AlgaPsaHook", ExecutePlan]):
    """
    Execute an AlgaPSA automation rule exactly once, wait for it, and push its context to XCom as outputs.

    Source: ``POST /api/v1/automation/rules/{id}/execute``.

    AlgaPSA can't cancel an execution: when the task is ended, or after ``timeout``, the execution continues, and the log says so.
    ``timeout`` is one hour by default, since an execution may stay ``pending`` forever on current releases.

    .. seealso:: :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` for everything about waiting, outputs and logs.

    :param rule: id or exact name.
    :param execution_data: data for the execution, its ``trigger_data``. The key ``airflow_marker`` is added, by which a later attempt
        finds the execution. AlgaPSA keeps the data in plain text.
    :param simulate: AlgaPSA's ``dry_run``: nothing is executed, and the execution is completed at once.
    :param override_conditions: whether to execute the rule even if it is not active.
    :param alga_psa_conn_id: connection of type ``alga_psa``.
    """

    template_fields: Sequence[str] = ("rule", "execution_data", "alga_psa_conn_id", *ExecutionOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"execution_data": "json"}
    place_fields: ClassVar[Sequence[str]] = ("rule",)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"execution_data": "json"}

    def __init__(
        self,
        *,
        rule: str,
        execution_data: Mapping[str, Any] | None = None,
        simulate: bool = False,
        override_conditions: bool = False,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
        alga_psa_conn_id: str = "alga_psa_default",
        **kwargs: Unpack[StartArguments],
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.rule = rule
        self.execution_data = execution_data
        self.simulate = flag(simulate, "simulate")
        self.override_conditions = flag(override_conditions, "override_conditions")
        self.alga_psa_conn_id = alga_psa_conn_id

    def _secrets(self) -> list[str]:
        """The texts in ``execution_data`` that are secret by their name or shape."""
        from airflow_provider.execution.results.redaction import secret_texts

        return list(secret_texts(self.execution_data))

    def _plan(self, hook: AlgaPsaHook) -> Flow[ExecutePlan]:
        """Check the data, and find the rule."""
        data = self._data()
        return ExecutePlan((yield from requests.resolve_rule(self.rule)), data)

    def _start(self, hook: AlgaPsaHook, plan: ExecutePlan, marker: str) -> Flow[Snapshot]:
        """The one request that executes the rule. The marker is added to the user's data."""
        execution = yield from requests.execute_rule(
            plan.rule,
            {**plan.data, mapping.MARKER_KEY: marker},
            simulate=self.simulate,
            override_conditions=self.override_conditions,
        )
        if execution.trigger_data and execution.trigger_data.get(mapping.MARKER_KEY) != marker:  # an answer may leave them out
            raise NotOurs(
                f"AlgaPSA answered the start with execution {execution.execution_id}, whose data are not ours.", system="alga_psa"
            )
        return mapping.snapshot_of(execution)  # type: ignore[no-any-return,unused-ignore]

    def _find(self, hook: AlgaPsaHook, plan: ExecutePlan, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """Search by the marker in the data."""
        return (yield from lost_starts.find_started(plan.rule, marker, since))

    def _data(self) -> dict[str, Any]:
        """
        The data as plain JSON.

        :raises ConfigurationError: if it is not a JSON object, or contains the marker's key.
        """
        data = json_object(self.execution_data, "AlgaPSA: execution_data")
        if mapping.MARKER_KEY in data:
            raise ConfigurationError(f"AlgaPSA: the key {mapping.MARKER_KEY!r} of execution_data is reserved for this operator's marker.")
        return data


class AlgaPsaRetryExecutionOperator(AlgaPsaRun, ExecutionResumeOperator["AlgaPsaHook"]):
    """
    Run a failed AlgaPSA execution again, wait for it, and push its context to XCom as outputs. It keeps its id.

    Source: ``POST /api/v1/automation/executions/{id}/retry``. Only executions that are ``failed`` can be retried.

    .. seealso:: :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` for everything about waiting, outputs and logs.

    :param ref: the execution's UUID.
    :param alga_psa_conn_id: connection of type ``alga_psa``.
    """

    template_fields: Sequence[str] = ("alga_psa_conn_id", *ExecutionResumeOperator.template_fields)

    def __init__(
        self,
        *,
        ref: str,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
        alga_psa_conn_id: str = "alga_psa_default",
        **kwargs: Unpack[StartArguments],
    ) -> None:
        super().__init__(ref=ref, timeout=timeout, **kwargs)
        self.alga_psa_conn_id = alga_psa_conn_id

    def _execution(self) -> str:
        """The execution."""
        return parse_ref(self.ref)


class AlgaPsaGetExecutionOperator(AlgaPsaTask, ExecutionGetOperator["AlgaPsaHook"]):
    """
    Read an AlgaPSA execution as it is, without waiting.

    Source: ``GET /api/v1/automation/executions/{id}``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.existing.ExecutionGetOperator` for outputs and logs.

    :param ref: the execution's UUID.
    :param alga_psa_conn_id: connection of type ``alga_psa``.
    """

    template_fields: Sequence[str] = ("alga_psa_conn_id", *ExecutionGetOperator.template_fields)

    def __init__(self, *, ref: str, alga_psa_conn_id: str = "alga_psa_default", **kwargs: Unpack[GetArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.alga_psa_conn_id = alga_psa_conn_id

    def _execution(self) -> str:
        """The execution."""
        return parse_ref(self.ref)
