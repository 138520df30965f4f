"""Operators that audit configuration and executions, and report the findings."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator

from airflow_provider import _clock
from airflow_provider._compat import conf
from airflow_provider.errors import ArgumentError, AuditFailed, ConfigurationError, ExecutionApiError, from_event
from airflow_provider.execution.model.arguments import flag
from airflow_provider.execution.tasks.rendering import Kind, RenderedArguments

if TYPE_CHECKING:
    from pathlib import Path
    from typing import ClassVar

    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider.audit.airflow_task.task import AuditSummary
    from airflow_provider.audit.collect.spool import Spool


ALLOWED = ("gaps", "empty", "missing")
"""What an audit can be told not to fail on."""
NEVER = "never"
"""The fail line that no finding reaches, for templates: they can't give None."""


class AuditCollectOperator(RenderedArguments, BaseOperator):
    """
    Base of the operators that read an API and check what they read.

    :param reports_path: folder (a path for ``ObjectStoragePath``) for findings, the baseline, and the state between runs.
    :param settings: path of a file (TOML or YAML), or a dict of the same shape.
    :param waivers: path of a file (TOML or YAML).
    :param deferrable: read in the triggerer, without a worker slot; only with ``spool_path``.
    :param allow: what does not fail the task: ``gaps`` (something could not be read or checked), ``empty`` (nothing was checked),
        ``missing`` (something that was named does not exist). By default each of them does: the summary is then pushed all the same.
    :param spool_path: folder (a path for ``ObjectStoragePath``) that worker and triggerer share, for records that are not checked yet, so
        that a retry on any host can continue. It contains secrets in plain text, so restrict access to it. By default a private folder
        on the worker.
    """

    template_fields: Sequence[str] = ("reports_path", "settings", "waivers", "spool_path")
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"settings": "local"}

    def __init__(
        self,
        *,
        reports_path: str,
        settings: str | Mapping[str, Any] | None = None,
        waivers: str | None = None,
        allow: Sequence[str] = (),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        spool_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.allow = _checked(allow)
        self.reports_path = reports_path
        self.settings = settings
        self.waivers = waivers
        self.deferrable = flag(deferrable, "deferrable")
        self.spool_path = spool_path

    def _wanted(self) -> list[dict[str, Any]]:
        """What to read, without the window."""
        raise NotImplementedError

    def _check_arguments(self) -> None:
        """
        Check the rendered arguments.

        :raises ConfigurationError: for one that rendered to nothing, or to another type.
        """
        super()._check_arguments()
        if not self.reports_path:
            raise ConfigurationError("reports_path is required: a folder for the reports.")
        _check_settings(self.settings)

    def _window(self, last: datetime | None, now: datetime) -> tuple[datetime, datetime] | None:
        """The window of executions; None for an audit of configuration."""
        return None

    def execute(self, context: Context) -> AuditSummary:
        """
        Read and check.

        :returns: counts and paths.
        :raises AuditFailed: if something could not be read, unless ``allow`` says otherwise.
        :raises ConfigurationError: if arguments, settings or waivers are invalid.
        :raises ExecutionApiError: an API is unavailable, or rejects the credential.
        """
        import asyncio

        from airflow_provider.audit.collect.collector import collect, sources_of
        from airflow_provider.audit.settings.model import load_settings

        self._check_arguments()
        load_settings(self.settings)  # fail before anything is read
        spool = self._spool(context)
        wanted = self._complete(spool)
        try:
            if self.deferrable and self.spool_path:
                self._defer(wanted, spool)
            if self.deferrable:
                self.log.info("Reading in the worker, since spool_path is not set.")
            for scope in wanted:
                self.log.info("Reading %s of connection %r.", "executions" if "since" in scope else "configuration", scope["conn_id"])
            asyncio.run(collect(sources_of(wanted), spool, self.log))
        except ExecutionApiError as error:
            self._drop_if_last(context, spool, error)
            raise
        return self._conclude(context, spool)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> AuditSummary:
        """Check what the triggerer has read."""
        from airflow_provider.audit.collect.spool import Spool

        spool = Spool(self._spool_folder(context))  # as the triggerer left it: templates of arguments may render to something else now
        try:
            if event.get("error"):
                raise from_event(event["error"])
            self._check_arguments()
        except ExecutionApiError as error:
            self._drop_if_last(context, spool, error)
            raise
        if not spool.finished:
            raise ConfigurationError(
                f"The triggerer has read everything, but the worker does not find it in {spool.folder}. spool_path must be shared."
            )
        return self._conclude(context, spool)

    def _defer(self, wanted: list[dict[str, Any]], spool: Spool) -> NoReturn:
        from airflow_provider.audit.airflow_task.trigger import AuditTrigger

        trigger = AuditTrigger(wanted=wanted, spool=str(spool.folder), header=spool.header, note=spool.note)
        self.defer(trigger=trigger, method_name="execute_complete")
        raise AssertionError("a deferral does not return")

    def _spool(self, context: Context) -> Spool:
        """The spool of an earlier attempt or of the triggerer; or a new one, with the window that all attempts share."""
        from airflow_provider.audit.collect.spool import Spool

        folder = self._spool_folder(context)
        wanted = self._wanted()
        # A cleared task reads everything again.
        header = {"wanted": wanted, "times": self._times(), "clear_number": getattr(context["dag_run"], "clear_number", None)}
        before = self._state(context).before(context["ti"].run_id)
        times = self._window(before.end if before else None, _clock.utc_now())
        note = {"since": times[0].isoformat(), "until": times[1].isoformat()} if times else {}
        return Spool(folder, header, note)

    def _spool_folder(self, context: Context) -> ObjectStoragePath | Path:
        from airflow_provider.audit.airflow_task import task

        return task.folder_of(self.spool_path, context, run=True) if self.spool_path else task.private_folder(context)

    def _times(self) -> list[str]:
        return []

    def _complete(self, spool: Spool) -> list[dict[str, Any]]:
        return [{**scope, **spool.note} for scope in spool.header["wanted"]]

    def _state(self, context: Context) -> Any:
        from airflow_provider.audit.airflow_task import task
        from airflow_provider.audit.airflow_task.state import State

        return State.load(task.folder_of(self.reports_path, context, run=False) / "state.json")

    def _conclude(self, context: Context, spool: Spool) -> AuditSummary:
        from airflow.sdk import ObjectStoragePath

        from airflow_provider.audit.airflow_task import task
        from airflow_provider.audit.airflow_task.state import Done
        from airflow_provider.audit.collect.collector import facts_in
        from airflow_provider.audit.settings.model import load_settings

        state, run_id = self._state(context), context["ti"].run_id
        before = state.before(run_id)
        settings = load_settings(self.settings)
        times = [datetime.fromisoformat(spool.note[name]) if spool.note else None for name in ("since", "until")]
        self.log.info("Checking %d records.", spool.count)
        result = task.run_audit(
            facts_in(spool),
            settings,
            now=_clock.utc_now(),
            since=times[0],
            until=times[1],
            waivers=self.waivers or None,
            baseline=ObjectStoragePath(before.baseline) if before else None,
            progress=lambda facts, findings: self.log.info("Checked %d facts: %d findings.", facts, findings),
        )
        folder = task.folder_of(self.reports_path, context, run=True)
        summary = task.store(result, settings, folder, ())
        self.log.info("%s", summary["summary"])
        for gap in result.gaps[:20]:
            self.log.warning("Not read: %s: %s", gap.subject.id, gap.reason)
        if problem := result.problem(self.allow):  # the next audit begins where the last good one ended, and compares with that
            spool.delete()
            context["ti"].xcom_push(key="return_value", value=summary)
            raise AuditFailed(f"The audit failed: {problem.text}. See {summary['findings']}")
        baseline = folder / "baseline.json"
        baseline.write_text(result.baseline.to_json(), encoding="utf-8")
        state.add(Done(run_id, summary["until"], str(baseline)))
        state.save(task.folder_of(self.reports_path, context, run=False) / "state.json")
        spool.delete()
        _tell_assets(self, context, summary)
        return summary

    def _drop_if_last(self, context: Context, spool: Spool, error: ExecutionApiError) -> None:
        """Delete the spool if there is no further attempt."""
        from airflow_provider._compat import AirflowFailException

        ti = context["ti"]
        if isinstance(error, AirflowFailException) or ti.try_number > ti.max_tries:
            spool.delete()


def _names(value: Sequence[int | str], argument: str) -> list[str]:
    """Names to audit. An empty list would audit nothing, and a text is no list."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable) or not (names := list(value)):
        raise ConfigurationError(f"{argument} must be a list of names, such as ['*'], not {value!r}.")
    if wrong := [name for name in names if not _is_name(name)]:
        raise ConfigurationError(f"{argument} must be texts, such as '1.10' in quotes, or whole numbers, not {wrong[0]!r}.")
    return list(map(str, names))


def _is_name(value: object) -> bool:
    """Whether a value is a name or an id. A float does not keep how it was written."""
    return type(value) is int or (isinstance(value, str) and bool(value.strip()))


class AuditBuddyConfigurationOperator(AuditCollectOperator):
    """
    Audits how Buddy pipelines and their actions are configured.

    :param projects: handles or names of projects, with ``*`` and ``?`` as wildcards.
    :param pipelines: ids, identifiers or names of pipelines, with wildcards.
    :param buddy_conn_id: connection of type ``buddy``.
    :param workspace: workspace handle; by default the connection's.
    """

    template_fields: Sequence[str] = ("projects", "pipelines", "buddy_conn_id", "workspace", *AuditCollectOperator.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"projects": "some texts", "pipelines": "some texts"}

    def __init__(
        self,
        *,
        projects: Sequence[str] = ("*",),
        pipelines: Sequence[int | str] = ("*",),
        buddy_conn_id: str = "buddy_default",
        workspace: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.projects = projects
        self.pipelines = pipelines
        self.buddy_conn_id = buddy_conn_id
        self.workspace = workspace

    def _wanted(self) -> list[dict[str, Any]]:
        """
        The connection and its scope.

        :raises ConfigurationError: if there is nothing to audit.
        """
        projects, pipelines = _names(self.projects, "projects"), _names(self.pipelines, "pipelines")
        place = {"workspace": self.workspace or None, "projects": projects, "pipelines": pipelines}
        return [{"system": "buddy", "conn_id": self.buddy_conn_id, **place}]


class AuditTracecatConfigurationOperator(AuditCollectOperator):
    """
    Audits the definitions of Tracecat workflows.

    :param workflows: ids, aliases or titles of workflows, with ``*`` and ``?`` as wildcards.
    :param tracecat_conn_id: connection of type ``tracecat``.
    :param workspace_id: UUID of the workspace; by default the connection's.
    """

    template_fields: Sequence[str] = ("workflows", "tracecat_conn_id", "workspace_id", *AuditCollectOperator.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"workflows": "some texts"}

    def __init__(
        self,
        *,
        workflows: Sequence[str] = ("*",),
        tracecat_conn_id: str = "tracecat_default",
        workspace_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflows = workflows
        self.tracecat_conn_id = tracecat_conn_id
        self.workspace_id = workspace_id

    def _wanted(self) -> list[dict[str, Any]]:
        """
        The connection and its scope.

        :raises ConfigurationError: if there is nothing to audit.
        """
        place = {"workspace": self.workspace_id or None, "workflows": _names(self.workflows, "workflows")}
        return [{"system": "tracecat", "conn_id": self.tracecat_conn_id, **place}]


class AuditExecutionsOperator(AuditCollectOperator):
    """
    Audits executions of one or several systems in a window of time.

    :param targets: dicts of ``conn_id``, whose connection type determines the system, and ``scope``: for Buddy
        ``workspace[/project[/pipeline]]``, for Tracecat ``workspace``, ``workflow`` or ``workspace/workflow``, for AlgaPSA
        a rule; with wildcards. Without it, all.
    :param since: start of the window, datetime or ISO 8601. None: end of the last successful audit of this task, or 24 hours before
        ``until``. The data interval is not used.
    :param until: end of the window; None: now.
    """

    template_fields: Sequence[str] = ("targets", "since", "until", *AuditCollectOperator.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"targets": "some texts", "since": "moment", "until": "moment"}

    def __init__(
        self,
        *,
        targets: Sequence[Mapping[str, str | None]],
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.targets = targets
        self.since = since
        self.until = until

    def _wanted(self) -> list[dict[str, Any]]:
        """
        What to read from each connection.

        :raises ConfigurationError: if a target is invalid.
        :raises ConnectionMissing: if there is no such connection.
        """
        from airflow_provider.execution.http.connection_settings import type_of

        scopes = []
        if isinstance(self.targets, (str, Mapping)) or not isinstance(self.targets, Iterable) or not self.targets:
            raise ConfigurationError("targets must be a list of dicts such as {'conn_id': 'buddy_default', 'scope': 'workspace/project'}.")
        for target in self.targets:
            if not isinstance(target, Mapping) or not target.get("conn_id") or set(target) - {"conn_id", "scope"}:
                raise ConfigurationError(f"A target has a conn_id and optionally a scope, not {target!r}.")
            if wrong := [value for value in target.values() if not (value is None or _is_name(value))]:
                raise ConfigurationError(f"The conn_id and the scope of a target are texts, not {wrong[0]!r}.")
            system = type_of(str(target["conn_id"]))
            scope = target.get("scope")
            scopes.append({"system": system, "conn_id": str(target["conn_id"]), "scope": None if scope is None else str(scope)})
        return scopes

    def _window(self, last: datetime | None, now: datetime) -> tuple[datetime, datetime]:
        """The window to audit."""
        from airflow_provider.audit.airflow_task import task

        return task.window(self.since, self.until, last, now)

    def _times(self) -> list[str]:
        return [str(self.since or ""), str(self.until or "")]


class AuditReportOperator(RenderedArguments, BaseOperator):
    """
    Joins audits into one report, and fails on findings.

    :param reports: return values of the other audit tasks, or paths of their JSON reports.
    :param reports_path: folder (a path for ``ObjectStoragePath``) for the reports; by default a folder next to the first joined report.
    :param fail_on: lowest severity of a new finding that fails the task; or a dict of ``severity``, ``confidence`` (default ``"medium"``)
        and ``new_only`` (default True). ``"never"`` or None: never.
    :param allow: as for the other audit operators: ``gaps``, ``empty``, ``missing`` do not fail the task.
    :param formats: ``json`` (always), ``sarif``, ``markdown``, ``summary`` (Markdown short enough for a notifier), ``html``, ``junit``,
        ``csv``, ``github`` (annotations of GitHub Actions), ``table``.
    :param settings: path of a file (TOML or YAML), or a dict of the same shape.
    """

    template_fields: Sequence[str] = ("reports", "reports_path", "fail_on", "formats", "settings")
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"reports": "local", "fail_on": "local", "formats": "some texts", "settings": "local"}

    def __init__(
        self,
        *,
        reports: Sequence[Any],
        reports_path: str | None = None,
        fail_on: str | Mapping[str, Any] | None = "high",
        allow: Sequence[str] = (),
        formats: Sequence[str] = ("json", "sarif", "markdown", "summary", "html"),
        settings: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reports = reports
        self.reports_path = reports_path
        self.fail_on = fail_on
        self.allow = _checked(allow)
        self.formats = formats
        self.settings = settings

    def execute(self, context: Context) -> AuditSummary:
        """
        Join the audits, write the reports, and fail on findings.

        :returns: counts and paths.
        :raises AuditFailed: on findings at or above the fail line, or if something could not be read, unless ``allow`` says otherwise; the
            summary is then in the XCom ``audit``.
        :raises ConfigurationError: if a report can't be read, or a setting is invalid.
        """
        from airflow_provider.audit.airflow_task import task
        from airflow_provider.audit.engine.result import join, missing
        from airflow_provider.audit.engine.trend import remember
        from airflow_provider.audit.settings.model import load_settings
        from airflow_provider.execution.results.outputs import safe_name

        self._check_arguments()
        settings, line = load_settings(self.settings), task.fail_line(None if self.fail_on == NEVER else self.fail_on)
        if line is not None:
            settings = settings.model_copy(update={"fail_on": line})
        paths = [report.get("findings") if isinstance(report, Mapping) else report for report in self.reports]
        folder = self._folder(context, [str(path) for path in paths if path])
        result = join([task.read_result(str(path)) if path else missing(path) for path in paths], _clock.utc_now())
        # Beside the folders of the runs. Of reports that are given as paths, nothing is known of the folders above.
        ours = self.reports_path or not isinstance(self.reports[0], Mapping)
        kept = folder.parent if ours else folder.parent.parent
        result.trend = remember(kept / f"{safe_name(self.task_id)}-trend.json", result, context["ti"].run_id)
        summary = task.store(result, settings, folder, self.formats)
        self.log.info("%s", summary["summary"])
        for kind, path in summary["reports"].items():
            self.log.info("Report (%s): %s", kind, path)
        failing = result.failing(settings) if line is not None else []
        count = len(failing) + (result.failing_omitted(settings).total() if line is not None else 0)
        for finding in failing[:20]:
            self.log.error("%s %s: %s (%s) %s", finding.severity, finding.rule, finding.subject.title, finding.path, finding.message)
        reasons = []
        if count:
            worst = ", ".join(f"{finding.rule} {finding.subject.title}" for finding in failing[:3]) or "not listed"
            reasons.append(f"{count} findings at or above {line and line.severity}: {worst}{', ...' if len(failing) > 3 else ''}")
        if problem := result.problem(self.allow):
            reasons.append(problem.text)
        if reasons:
            context["ti"].xcom_push(key="audit", value=summary)
            raise AuditFailed(f"The audit failed: {'; '.join(reasons)}. See {summary['reports'].get('html', summary['findings'])}")
        _tell_assets(self, context, summary)
        return summary

    def _check_arguments(self) -> None:
        """
        Check the rendered arguments.

        :raises ConfigurationError: for one that rendered to nothing, or to another type.
        """
        super()._check_arguments()
        _check_settings(self.settings)
        if isinstance(self.reports, (str, Mapping)) or not isinstance(self.reports, Iterable):
            raise ConfigurationError(f"reports must be a list of results of audit tasks, or of paths, not {self.reports!r:.200}.")
        if self.fail_on is not None and (not isinstance(self.fail_on, (str, Mapping)) or not self.fail_on):
            raise ConfigurationError(f"fail_on must be a severity such as 'high', a dict, or {NEVER!r}, not {self.fail_on!r}.")
        if isinstance(self.formats, (str, Mapping)) or not isinstance(self.formats, Iterable):
            raise ConfigurationError(f"formats must be a list such as ['json', 'html'], not {self.formats!r}.")

    def _folder(self, context: Context, paths: Sequence[str]) -> ObjectStoragePath:
        from airflow.sdk import ObjectStoragePath

        from airflow_provider.audit.airflow_task import task
        from airflow_provider.execution.results.outputs import safe_name

        if self.reports_path:
            return task.folder_of(self.reports_path, context, run=True)
        if not paths:
            raise ConfigurationError("reports_path is required, since none of the reports to join has a path.")
        return ObjectStoragePath(paths[0]).parent / safe_name(self.task_id)


def _check_settings(settings: object) -> None:
    if not (settings is None or isinstance(settings, (str, os.PathLike, Mapping))):
        raise ConfigurationError(f"settings must be the path of a file, or a dict, not {type(settings).__name__}.")


def _checked(allow: Sequence[str]) -> tuple[str, ...]:
    if isinstance(allow, (str, Mapping)) or not isinstance(allow, Collection) or any(name not in ALLOWED for name in allow):
        raise ArgumentError(f"allow must be a list of {', '.join(map(repr, ALLOWED))}, not {allow!r}")
    return tuple(allow)


def _tell_assets(operator: BaseOperator, context: Context, summary: AuditSummary) -> None:
    """Add the result of the audit to the events of the task's outlets."""
    names = ("counts", "new", "fixed", "waived", "gaps", "complete", "findings")
    extra: dict[str, Any] = {"event": "audit completed", **{name: value for name, value in summary.items() if name in names}}
    for outlet in operator.outlets:
        context["outlet_events"][outlet].extra.update(extra)
