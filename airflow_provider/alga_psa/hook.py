"""Hook for AlgaPSA: from an Airflow connection to its automation API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider._lazy import Lazy
from airflow_provider.alga_psa.api.error_texts import AlgaPsaDialect
from airflow_provider.alga_psa.ref import is_uuid
from airflow_provider.errors import ConfigurationError, ExecutionApiError, ServerError
from airflow_provider.execution.http.endpoint import Dialect
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.execution.model.request import Flow

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider.alga_psa.api import models, requests
    from airflow_provider.alga_psa.executions.adapter import AlgaPsaAdapter
else:
    requests = Lazy("airflow_provider.alga_psa.api.requests")


class AlgaPsaHook(ExecutionHook):
    """
    Talks to AlgaPSA's automation API. Every ``get_x`` has an async twin ``aget_x``.

    Experimental: releases of AlgaPSA up to 1.4 answer 500 to nearly all of it. Refs are the UUIDs of executions.

    :param alga_psa_conn_id: connection of type ``alga_psa``: the installation's address as host, an API key as password, and in extra
        ``tenant_id``, ``ca_bundle``, ``verify_tls``, ``request_timeout`` (seconds), ``max_concurrent_requests``.
    """

    conn_name_attr = "alga_psa_conn_id"
    default_conn_name = "alga_psa_default"
    conn_type = "alga_psa"
    hook_name = "AlgaPSA"
    title = "AlgaPSA"
    dialect: ClassVar[Dialect] = AlgaPsaDialect()

    def __init__(self, alga_psa_conn_id: str = default_conn_name) -> None:
        super().__init__(alga_psa_conn_id)

    def arguments(self) -> dict[str, Any]:
        """What rebuilds this hook in a trigger."""
        return {"alga_psa_conn_id": self.conn_id}

    def adapter(self, **view: Any) -> AlgaPsaAdapter:
        """AlgaPSA's flows."""
        from airflow_provider.alga_psa.executions.adapter import AlgaPsaAdapter

        return AlgaPsaAdapter(**view)

    def credentials(self, connection: Connection, extra: Mapping[str, Any]) -> dict[str, str]:
        """The API key, and the tenant if one is given."""
        key = (connection.password or "").strip()
        if not key:
            raise ConfigurationError(f"Connection {self.conn_id!r} has no API key. Put one into its password field.")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigurationError(f"Connection {self.conn_id!r}: the API key in its password field holds spaces or control characters.")
        tenant = str(extra.get("tenant_id") or "").strip()
        if tenant and not is_uuid(tenant):
            raise ConfigurationError(f"Connection {self.conn_id!r}: extra 'tenant_id' must be a UUID.")
        return {"x-api-key": key, **({"x-tenant-id": tenant} if tenant else {})}

    def get_meta(self) -> models.Meta:
        """
        Read the words that AlgaPSA knows: trigger types, action types, statuses.

        Source: ``GET /api/v1/automation/meta``.
        """
        return self.run_flow(requests.get_meta())

    async def aget_meta(self) -> models.Meta:
        """Async twin of :meth:`get_meta`."""
        return await self.arun_flow(requests.get_meta())

    def get_rules(self, page: int = 1) -> list[models.Rule]:
        """
        Read a page of the rules; they carry no statistics. They may hold secrets.

        Source: ``GET /api/v1/automation/rules``.
        """
        return self.run_flow(requests.page_of_rules(page))

    async def aget_rules(self, page: int = 1) -> list[models.Rule]:
        """Async twin of :meth:`get_rules`."""
        return await self.arun_flow(requests.page_of_rules(page))

    def iter_rules(self) -> Iterator[models.Rule]:
        """
        All rules, page by page.

        Source: ``GET /api/v1/automation/rules``.
        """
        yield from self.each(requests.rules())

    async def aiter_rules(self) -> AsyncIterator[models.Rule]:
        """Async twin of :meth:`iter_rules`."""
        async for item in self.aeach(requests.rules()):
            yield item

    def get_rule(self, rule: str) -> models.Rule:
        """
        Read a rule. It may hold secrets: never log it whole.

        Source: ``GET /api/v1/automation/rules/{id}``.

        :param rule: id or exact name.
        :raises ConfigurationError: if there is none of that name, or several.
        """
        return self.run_flow(requests.get_rule(rule))

    async def aget_rule(self, rule: str) -> models.Rule:
        """Async twin of :meth:`get_rule`."""
        return await self.arun_flow(requests.get_rule(rule))

    def get_rule_id(self, rule: str) -> str:
        """
        Find a rule's id by its id or exact name.

        Source: ``GET /api/v1/automation/rules``.

        :raises ConfigurationError: if there is none of that name, or several.
        """
        return self.run_flow(requests.resolve_rule(rule))

    async def aget_rule_id(self, rule: str) -> str:
        """Async twin of :meth:`get_rule_id`."""
        return await self.arun_flow(requests.resolve_rule(rule))

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read one execution with its log.

        Source: ``GET /api/v1/automation/executions/{id}``.

        :param ref: its UUID.
        :raises NotFound: if there is none.
        """
        return self.run_flow(requests.get_execution(ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        return await self.arun_flow(requests.get_execution(ref))

    def list_executions(
        self,
        page: int = 1,
        *,
        rule: str | None = None,
        status: str | None = None,
        started_from: datetime | str | None = None,
        started_to: datetime | str | None = None,
        has_errors: bool | None = None,
        trigger_type: str | None = None,
    ) -> list[models.Execution]:
        """
        Read a page of executions, those that started last first.

        Source: ``GET /api/v1/automation/executions``; its other filters are always refused.

        :param rule: only of this rule: id or exact name.
        :param status: only with this status, such as ``failed``.
        :param started_from: only started at this moment or later.
        :param started_to: only started at this moment or before.
        :param has_errors: only with, or only without errors.
        :param trigger_type: only of rules of this type, such as ``manual``.
        """
        given = {
            "rule": rule,
            "status": status,
            "started_from": started_from,
            "started_to": started_to,
            "has_errors": has_errors,
            "trigger_type": trigger_type,
        }
        return self.run_flow(requests.page_of_executions(page, **given))

    async def alist_executions(
        self,
        page: int = 1,
        *,
        rule: str | None = None,
        status: str | None = None,
        started_from: datetime | str | None = None,
        started_to: datetime | str | None = None,
        has_errors: bool | None = None,
        trigger_type: str | None = None,
    ) -> list[models.Execution]:
        """Async twin of :meth:`list_executions`."""
        given = {
            "rule": rule,
            "status": status,
            "started_from": started_from,
            "started_to": started_to,
            "has_errors": has_errors,
            "trigger_type": trigger_type,
        }
        return await self.arun_flow(requests.page_of_executions(page, **given))

    def iter_executions(self, **filters: Any) -> Iterator[models.Execution]:
        """
        All executions, those that started last first, page by page.

        Source: ``GET /api/v1/automation/executions``.

        :param filters: as of :meth:`list_executions`.
        """
        yield from self.each(requests.executions(**filters))

    async def aiter_executions(self, **filters: Any) -> AsyncIterator[models.Execution]:
        """Async twin of :meth:`iter_executions`."""
        async for item in self.aeach(requests.executions(**filters)):
            yield item

    def execute_rule(
        self,
        rule: str,
        execution_data: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        override_conditions: bool = False,
    ) -> models.Execution:
        """
        Execute a rule. Not repeated, and not protected from executing twice: tasks use
        :class:`~airflow_provider.alga_psa.operators.AlgaPsaExecuteRuleOperator`.

        Source: ``POST /api/v1/automation/rules/{id}/execute``.

        :param rule: id or exact name.
        :param execution_data: data for the execution.
        :param dry_run: only pretend; the execution is completed at once.
        :param override_conditions: execute a rule that is not active, too.
        """
        return self.run_flow(self._execute(rule, execution_data, dry_run, override_conditions))

    async def aexecute_rule(
        self,
        rule: str,
        execution_data: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        override_conditions: bool = False,
    ) -> models.Execution:
        """Async twin of :meth:`execute_rule`."""
        return await self.arun_flow(self._execute(rule, execution_data, dry_run, override_conditions))

    def _execute(self, rule: str, data: Mapping[str, Any] | None, dry_run: bool, override: bool) -> Flow[models.Execution]:
        return requests.execute_rule(rule, data, dry_run=dry_run, override_conditions=override)

    def retry_execution(self, ref: str) -> models.Execution:
        """
        Run a failed execution again. Not repeated.

        Source: ``POST /api/v1/automation/executions/{id}/retry``.

        :returns: the execution, with the same id.
        :raises Conflict: if it is not failed.
        """
        return self.run_flow(requests.retry_execution(ref))

    async def aretry_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`retry_execution`."""
        return await self.arun_flow(requests.retry_execution(ref))

    def test_connection(self) -> tuple[bool, str]:
        """Prove the key and its permission to read; and tell whether this release can store executions at all."""
        try:
            with self:
                meta = self.get_meta()
                if not meta.execution_statuses:
                    return False, f"{self._address()} answers, but not as AlgaPSA does. Check the host of connection {self.conn_id!r}."
                return True, f"Connected to {self._address()}; the key may read automation (executing was not tried). {self._storage()}"
        except ExecutionApiError as error:
            return False, str(error)

    def _storage(self) -> str:
        try:
            self.run_flow(requests.page_of_executions(1))
        except ServerError:
            return "But it can't list executions: this release cannot store them (releases up to 1.4 can't), so no task will succeed on it."
        except ExecutionApiError as error:
            return f"But executions could not be listed: {error}"
        return "It lists executions."

    def _address(self) -> str:
        return self._endpoint.base_url if self._endpoint else ""
