"""The options of an emulated Buddy installation."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Options:
    """Options of a Buddy installation; each can be set at any time.

    :ivar token: the bearer token that is accepted.
    :ivar approver_token: a second token, of a second user: a gate may forbid approving one's own executions.
    :ivar scopes: scopes of both; EXECUTION_MANAGE includes EXECUTION_RUN includes EXECUTION_INFO, and so on.
    :ivar era: ``"E2"``, or ``"E1"``: ``triggeredOn``, scope WORKSPACE and ``to_revision`` required, rate limit headers on
        every answer, ``actions`` in a pipeline; or ``"E3"``: scopes are called PIPELINE_READ, PIPELINE_RUN, VARIABLE_READ, ...;
        the old names are accepted.
    :ivar gate_in: where ``WAITING_...`` shows: ``"execution"`` (and its step) or only in the step, ``"action"``.
    :ivar nulls: ``"omit"`` or ``"null"``: how optional fields without a value come.
    :ivar list_has_comment: whether listed executions carry their comment.
    :ivar list_lag: seconds until a new execution shows in the list.
    :ivar max_per_page: longest page of a list.
    :ivar retry_keeps_id: whether RETRY continues the same execution, or makes a new one.
    :ivar retried_steps: ``"replace"``: a step that runs again takes the place of the failed one; ``"append"``: the execution
        lists both.
    :ivar has_logs_route: False: the paged log is missing, as on older installations.
    :ivar has_action_execution_route: False: so is a single action execution, as on the oldest ones.
    :ivar has_legacy_log_routes: False: action executions cannot be read by the id of their action.
    :ivar listed_actions_are_whole: whether a pipeline's list of actions has all fields of each, secrets included.
    :ivar log_url_above: an action execution with more lines comes without ``log``, but with ``log_url``; None: never.
    :ivar log_url_expires: seconds for which such an address is valid; None: no limit.
    :ivar log_url_ranges: False: a Range header is ignored there.
    :ivar log_url_on_api_origin: it leads to the API, which requires the token, and not to another origin, which refuses it.
    :ivar wildcard_retry_status: HTTP status with which RETRY fails for pipelines with a wildcard; None: it works.
    :ivar runners: how many actions of a soft parallel may run at the same time; if there are more, they run one after another;
        None: any number.
    :ivar default_variables: whether each workspace and each project has the SSH key that the vendor gives it: ``id_workspace``,
        ``id_project``.
    :ivar has_identifiers_route: False: ids can't be looked up by identifier, as on older installations.
    :ivar api_disabled: an administrator has switched the API off.
    :ivar action_execution_ids_in_execution: False: the id stands only in the ``url`` of an action execution.
    :ivar rate_limit: None, or number of calls and seconds of the window; ``send_retry_after`` belongs to it.
    :ivar send_retry_after: whether a rate limited answer has the header Retry-After.
    :ivar cancel_seconds: seconds that a cancelled run spends TERMINATING.
    :ivar public_url: what ``url`` fields begin with, if not the emulator's own address: clients must not follow them.
    """

    token: str = "emulator-token"  # noqa: S105 - good for nothing but loopback
    approver_token: str = "emulator-approver-token"  # noqa: S105 - the same
    scopes: list[str] = field(default_factory=lambda: ["WORKSPACE", "EXECUTION_INFO", "EXECUTION_RUN", "USER_INFO"])
    era: str = "E2"
    gate_in: str = "execution"
    nulls: str = "omit"
    list_has_comment: bool = True
    list_lag: float = 0.0
    max_per_page: int = 100
    retry_keeps_id: bool = True
    retried_steps: str = "replace"
    has_logs_route: bool = True
    has_action_execution_route: bool = True
    has_legacy_log_routes: bool = True
    listed_actions_are_whole: bool = False
    log_url_above: int | None = None
    log_url_expires: float | None = None
    log_url_ranges: bool = True
    log_url_on_api_origin: bool = False
    wildcard_retry_status: int | None = 500
    runners: int | None = None
    default_variables: bool = True
    has_identifiers_route: bool = True
    api_disabled: bool = False
    action_execution_ids_in_execution: bool = True
    rate_limit: tuple[int, float] | None = None
    send_retry_after: bool = False
    cancel_seconds: float = 0.0
    public_url: str | None = None
