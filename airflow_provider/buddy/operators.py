"""Operators for Buddy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.buddy.link import LINK_KEY, BuddyExecutionLink
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.operator import ExecutionOperator

if TYPE_CHECKING:
    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.route import Flow
    from airflow_provider.execution.system import Snapshot


class BuddyRunPipelineOperator(ExecutionOperator):
    """
    Run a Buddy pipeline, wait for it, and hand its outputs on.

    Source: ``POST /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions``.

    .. seealso:: the how-to guide "Run a Buddy pipeline", and
        :class:`~airflow_provider.execution.operator.ExecutionOperator` for all that concerns waiting, outputs and logs.

    :param pipeline: id, identifier or name.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    :param branch: branch to run on, for pipelines with several refs. At most one of branch, tag, pull_request.
    :param tag: tag to run on.
    :param pull_request: pull request to run on.
    :param revision: commit, or ``HEAD``.
    :param variables: variables to pass, name to value.
    :param secret_variables: variables to pass that Buddy is to keep encrypted; Airflow redacts them as rendered fields.
    :param comment: comment of the execution. A marker is put behind it, by which a later try finds the execution.
    :param priority: ``LOW``, ``NORMAL`` or ``HIGH``.
    :param refresh: deploy from scratch.
    :param clear_cache: clear the pipeline's cache first.
    :param delay_until: moment (ISO 8601 or datetime) before which Buddy does not run it.
    :param actions_to_run: ids of the only actions to run; default: as the pipeline defines.
    :param environment: Buddy environment.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "workspace",
        "project",
        "branch",
        "tag",
        "pull_request",
        "revision",
        "variables",
        "secret_variables",
        "comment",
        "priority",
        "delay_until",
        "actions_to_run",
        "environment",
        "buddy_conn_id",
        *ExecutionOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"variables": "json"}
    operator_extra_links = (BuddyExecutionLink(),)
    link_key = LINK_KEY
    ui_color = "#dce9ff"

    def __init__(
        self,
        *,
        pipeline: int | str,
        workspace: str | None = None,
        project: str | None = None,
        branch: str | None = None,
        tag: str | None = None,
        pull_request: str | None = None,
        revision: str = "HEAD",
        variables: Mapping[str, Any] | None = None,
        secret_variables: Mapping[str, Any] | None = None,
        comment: str | None = None,
        priority: str | None = None,
        refresh: bool = False,
        clear_cache: bool = False,
        delay_until: datetime | str | None = None,
        actions_to_run: Sequence[int | str] = (),
        environment: str | None = None,
        buddy_conn_id: str = "buddy_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.workspace = workspace
        self.project = project
        self.branch = branch
        self.tag = tag
        self.pull_request = pull_request
        self.revision = revision
        self.variables = variables
        self.secret_variables = secret_variables
        self.comment = comment
        self.priority = priority
        self.refresh = refresh
        self.clear_cache = clear_cache
        self.delay_until = delay_until
        self.actions_to_run = actions_to_run
        self.environment = environment
        self.buddy_conn_id = buddy_conn_id

    def secrets(self) -> list[str]:
        """The values of ``secret_variables``."""
        return [str(value) for value in self.secret_variables.values()] if isinstance(self.secret_variables, Mapping) else []

    def make_hook(self) -> BuddyHook:
        """The hook for this task's connection."""
        from airflow_provider.buddy.hook import BuddyHook

        return BuddyHook(self.buddy_conn_id, workspace=self.workspace, project=self.project)

    def plan(self, hook: Any) -> Flow[tuple[str, str, int, dict[str, Any]]]:
        """Check the arguments and find the pipeline."""
        body = self._body()
        workspace, project = hook.place()
        pipeline = yield from hook.system().resolve_pipeline(workspace, project, self.pipeline)
        return workspace, project, pipeline, body

    def start(self, hook: Any, plan: Any, marker: str) -> Flow[Snapshot]:
        """The one request that runs the pipeline; the marker goes behind the user's comment."""
        from airflow_provider.buddy.ref import BuddyRef
        from airflow_provider.buddy.system import snapshot_of

        workspace, project, pipeline, body = plan
        comment = f"{self.comment} [{marker}]" if self.comment else f"[{marker}]"
        flow = hook.system().run_pipeline(workspace, project, pipeline, {**body, "comment": comment})
        execution = yield from flow
        return snapshot_of(BuddyRef(workspace, project, pipeline, execution.id), execution)

    def find(self, hook: Any, plan: Any, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """By the marker in the comment."""
        workspace, project, pipeline, _ = plan
        found: tuple[list[Snapshot], bool] = yield from hook.system().find_started(workspace, project, pipeline, marker, since)
        return found

    def _body(self) -> dict[str, Any]:
        """
        The request's body, without the comment.

        :raises ConfigurationError: for arguments that Buddy would refuse, or take for something else.
        """
        refs = {name: value for name in ("branch", "tag", "pull_request") if (value := getattr(self, name)) not in (None, "")}
        if len(refs) > 1:
            raise ConfigurationError(f"Buddy: only one of branch, tag and pull_request can be given, not {' and '.join(refs)}.")
        if self.priority not in (None, "", "LOW", "NORMAL", "HIGH"):
            raise ConfigurationError(f"Buddy: priority must be LOW, NORMAL or HIGH, not {self.priority!r}.")
        try:
            actions = [int(action) for action in _sequence(self.actions_to_run)]
        except (TypeError, ValueError):
            raise ConfigurationError(f"Buddy: actions_to_run takes the ids of actions, not {self.actions_to_run!r}.") from None
        for name in ("variables", "secret_variables"):
            if not isinstance(getattr(self, name) or {}, Mapping):
                raise ConfigurationError(f"Buddy: {name} must be a dict, name to value.")
        variables: list[dict[str, Any]] = [
            {"key": str(key), "value": _text(key, value), **flag}
            for given, flag in ((self.variables, {}), (self.secret_variables, {"encrypted": True}))
            for key, value in (given or {}).items()
        ]
        names = [str(variable["key"]) for variable in variables]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(f"Buddy: {', '.join(twice)} given both in variables and in secret_variables, or twice.")
        body = {
            "to_revision": {"revision": self.revision or "HEAD"},
            **{name: {"name": str(value)} for name, value in refs.items()},
            "variables": variables,
            "priority": self.priority,
            "refresh": self.refresh,
            "clear_cache": self.clear_cache,
            "delay_until": _moment(self.delay_until),
            "actions_to_run": actions,
            "environment": self.environment,
        }
        return {name: value for name, value in body.items() if value not in (None, "", False, [])}


def _text(key: object, value: object) -> str:
    """Buddy's variables are strings: scalars are written as one would type them, all else is an error."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigurationError(f"Buddy: variable {key} must be a string, number or boolean, not {type(value).__name__}. Make it a string.")


def _sequence(value: object) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise TypeError
    return value


def _moment(value: datetime | str | None) -> str | None:
    """
    A moment as Buddy takes it: UTC, milliseconds, ``Z``.

    :raises ConfigurationError: if it is none.
    """
    if value is None or value == "":
        return None
    from airflow.sdk import timezone

    from airflow_provider.execution.result import utc

    try:
        moment = value if isinstance(value, datetime) else timezone.parse(value, timezone="UTC", strict=True)
        if not isinstance(moment, datetime) or not (moment is value or str(value)[:4].isdecimal()):
            raise ValueError  # a duration, an interval or a time of day
    except (TypeError, ValueError):
        raise ConfigurationError(f"Buddy: delay_until must be a moment such as 2026-11-18T12:38:16Z, not {value!r}.") from None
    return utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")
