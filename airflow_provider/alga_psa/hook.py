"""Hook for AlgaPSA: from an Airflow connection to its automation API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider._connection_form import with_connection_form
from airflow_provider._lazy import Lazy
from airflow_provider.alga_psa.api.error_texts import AlgaPsaApiErrors
from airflow_provider.alga_psa.ref import is_uuid
from airflow_provider.errors import ConfigurationError, ExecutionApiError, ServerError
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.hook import ExecutionHook

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from typing_extensions import Unpack

    from airflow_provider.alga_psa.api import models, requests
    from airflow_provider.alga_psa.executions.adapter import AlgaPsaAdapter
else:
    requests = Lazy("airflow_provider.alga_psa.api.requests")


@with_connection_form
class AlgaPsaHook(ExecutionHook):
    """
    Reads and starts things in AlgaPSA by its automation API. Experimental: releases of AlgaPSA up to 1.4 answer 500 to nearly all of it.

    ``get_x`` reads one thing, ``list_x`` a page of a list, ``iter_x`` all of a list, page by page as items are taken.
    Each method that sends a request has an async twin: its name with an ``a`` in front, such as ``aget_execution``.

    The ref of an execution is its UUID.

    All methods raise subclasses of :class:`~airflow_provider.errors.ExecutionApiError`, such as
    :class:`~airflow_provider.errors.Forbidden` if the key lacks a permission, and
    :class:`~airflow_provider.errors.ConfigurationError` if the connection is missing or unusable.

    :param alga_psa_conn_id: connection of type ``alga_psa``: the installation's address as host, an API key as password, and in extra
        ``tenant_id``, ``ca_bundle``, ``verify_tls``, ``request_timeout`` (seconds), ``max_concurrent_requests``,
        ``secret_headers``.
    """

    conn_name_attr = "alga_psa_conn_id"
    default_conn_name = "alga_psa_default"
    conn_type = "alga_psa"
    hook_name = "AlgaPSA"
    title = "AlgaPSA"
    settings: ClassVar[Collection[str]] = ("tenant_id",)
    api_errors: ClassVar[ApiErrors] = AlgaPsaApiErrors()

    def __init__(self, alga_psa_conn_id: str = default_conn_name) -> None:
        super().__init__(alga_psa_conn_id)
        self.alga_psa_conn_id = alga_psa_conn_id

    def arguments(self) -> dict[str, object]:
        """Keyword arguments that rebuild this hook in a trigger."""
        return {"alga_psa_conn_id": self.alga_psa_conn_id}

    def adapter(self, **view: Any) -> AlgaPsaAdapter:
        """The flows that give snapshots of executions."""
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

    def list_rules(self, page: int = 1) -> list[models.Rule]:
        """
        List a page of the rules, without their statistics. They may hold secrets.

        Source: ``GET /api/v1/automation/rules``.

        :param page: number of the page, from 1; each has 50 rules.
        """
        return self.run_flow(requests.page_of_rules(page))

    async def alist_rules(self, page: int = 1) -> list[models.Rule]:
        """Async twin of :meth:`list_rules`."""
        return await self.arun_flow(requests.page_of_rules(page))

    def iter_rules(self) -> Iterator[models.Rule]:
        """
        Iterate over all rules, without their statistics. They may hold secrets.

        Source: ``GET /api/v1/automation/rules``.
        """
        yield from self.each(requests.rules())

    async def aiter_rules(self) -> AsyncIterator[models.Rule]:
        """Async twin of :meth:`iter_rules`."""
        async for item in self.aeach(requests.rules()):
            yield item

    def get_rule(self, rule: str) -> models.Rule:
        """
        Read a rule. It may hold secrets: never log it as a whole.

        Source: ``GET /api/v1/automation/rules/{id}``.

        :param rule: id or exact name.
        :raises ConfigurationError: if no rule has that name, or several have it.
        :raises NotFound: if none has that id.
        """
        return self.run_flow(requests.get_rule(rule))

    async def aget_rule(self, rule: str) -> models.Rule:
        """Async twin of :meth:`get_rule`."""
        return await self.arun_flow(requests.get_rule(rule))

    def get_rule_id(self, rule: str) -> str:
        """
        Find a rule's id. No request is sent if an id is given.

        Source: ``GET /api/v1/automation/rules``.

        :param rule: id or exact name.
        :raises ConfigurationError: if no rule has that name, or several have it.
        """
        return self.run_flow(requests.resolve_rule(rule))

    async def aget_rule_id(self, rule: str) -> str:
        """Async twin of :meth:`get_rule_id`."""
        return await self.arun_flow(requests.resolve_rule(rule))

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read an execution with its log.

        Source: ``GET /api/v1/automation/executions/{id}``.

        :param ref: its UUID.
        :raises ConfigurationError: if it is not a UUID.
        :raises NotFound: if there is none.
        """
        return self.run_flow(requests.get_execution(ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        return await self.arun_flow(requests.get_execution(ref))

    def list_executions(self, page: int = 1, **filters: Unpack[requests.ExecutionFilters]) -> list[models.Execution]:
        """
        List a page of executions, those that started last first.

        Source: ``GET /api/v1/automation/executions``. It refuses the other filters that the vendor documents.

        :param page: number of the page, from 1; each has 50 executions.
        :param filters: ``rule`` (id or exact name); ``status`` (such as ``failed``); ``started_from`` and ``started_to`` (datetime or
            ISO 8601, both inclusive); ``has_errors`` (bool); ``trigger_type`` (such as ``manual``).
        :raises ConfigurationError: if no rule has that name, or several have it; or for a moment that is none.
        """
        return self.run_flow(requests.page_of_executions(page, **filters))

    async def alist_executions(self, page: int = 1, **filters: Unpack[requests.ExecutionFilters]) -> list[models.Execution]:
        """Async twin of :meth:`list_executions`."""
        return await self.arun_flow(requests.page_of_executions(page, **filters))

    def iter_executions(self, **filters: Unpack[requests.ExecutionFilters]) -> Iterator[models.Execution]:
        """
        Iterate over all executions, those that started last first.

        Source: ``GET /api/v1/automation/executions``.

        :param filters: see :meth:`list_executions`.
        :raises ConfigurationError: if no rule has that name, or several have it; or for a moment that is none.
        """
        yield from self.each(requests.executions(**filters))

    async def aiter_executions(self, **filters: Unpack[requests.ExecutionFilters]) -> AsyncIterator[models.Execution]:
        """Async twin of :meth:`iter_executions`."""
        async for item in self.aeach(requests.executions(**filters)):
            yield item

    def execute_rule(
        self,
        rule: str,
        execution_data: Mapping[str, Any] | None = None,
        *,
        simulate: bool = False,
        override_conditions: bool = False,
    ) -> models.Execution:
        """
        Execute a rule. The request is sent once, and nothing protects from a second execution: tasks use
        :class:`~airflow_provider.alga_psa.operators.AlgaPsaExecuteRuleOperator`.

        Source: ``POST /api/v1/automation/rules/{id}/execute``.

        :param rule: id or exact name.
        :param execution_data: data for the execution, a JSON object. AlgaPSA keeps it in plain text.
        :param simulate: run no actions; the execution is completed at once (``dry_run`` in AlgaPSA's words).
        :param override_conditions: execute a rule that is not active, too.
        :returns: the execution, just begun.
        :raises ConfigurationError: if no rule has that name, or several have it.
        :raises NotFound: if none has that id.
        :raises Conflict: if the rule is not active.
        """
        return self.run_flow(requests.execute_rule(rule, execution_data, simulate=simulate, override_conditions=override_conditions))

    async def aexecute_rule(
        self,
        rule: str,
        execution_data: Mapping[str, Any] | None = None,
        *,
        simulate: bool = False,
        override_conditions: bool = False,
    ) -> models.Execution:
        """Async twin of :meth:`execute_rule`."""
        flow = requests.execute_rule(rule, execution_data, simulate=simulate, override_conditions=override_conditions)
        return await self.arun_flow(flow)

    def retry_execution(self, ref: str) -> models.Execution:
        """
        Run a failed execution again. The request is sent once.

        Source: ``POST /api/v1/automation/executions/{id}/retry``.

        :param ref: its UUID.
        :returns: the execution, with the same id.
        :raises ConfigurationError: if it is not a UUID.
        :raises NotFound: if there is none.
        :raises Conflict: if it has not failed.
        """
        return self.run_flow(requests.retry_execution(ref))

    async def aretry_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`retry_execution`."""
        return await self.arun_flow(requests.retry_execution(ref))

    def test_connection(self) -> tuple[bool, str]:
        """
        Check the key and its permission to read, and whether this release can store executions.

        Source: ``GET /api/v1/automation/meta``, ``GET /api/v1/automation/executions``.

        :returns: whether the connection works, and a text for the user.
        """
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
