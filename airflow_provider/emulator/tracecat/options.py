"""The options of an emulated Tracecat installation."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Options:
    """Options of a Tracecat installation; each can be set at any time.

    :ivar entitled: whether service accounts are paid for; False: as on plain self-hosted installations, all keys get 401.
    :ivar password_login: whether users can log in with a password.
    :ivar cookie_name: name of the session's cookie.
    :ivar session_seconds: how long a session lasts.
    :ivar workspace_in: where the server takes the workspace from: ``both``, only the ``path``, or, as older ones, only the ``query``.
    :ivar start_lag: seconds after a start until the execution is found.
    :ivar list_lag: seconds after that until lists and searches have it, too.
    :ivar list_lags: the same for the next starts, one each; then ``list_lag`` applies again.
    :ivar takes_time_anchor: whether a start may set the execution's ``time_anchor``; False: as on older servers, the field is ignored.
    :ivar openapi: whether the server gives its OpenAPI document.
    :ivar starts_fail: starts are accepted, but no execution ever exists.
    :ivar temporal_down: the orchestrator cannot be reached: reading gives 500, starting gives ids of executions that never exist.
    :ivar cancel_seconds: seconds from a cancel to its end.
    :ivar query_limit: number of rows of a list whose caller does not ask for a number.
    :ivar interactions_enabled: whether executions show what they wait for; off on a fresh installation of the vendor's.
    :ivar inline_limit: bytes above which a result is kept in the blob store.
    :ivar blob_encoding: ``json`` or ``json+gzip``.
    :ivar blob_retention: seconds after which stored inputs and results are gone; None: never. Without its stored inputs, an execution
        has no compact view any more: it gives 500.
    :ivar download_expires: seconds for which the address of a stored result is valid.
    :ivar any_refs: whether workflows may have actions whose refs the vendor refuses: all but lower-case letters, digits and ``_``.
    :ivar version: version that the server reports.
    :ivar public_url: what addresses of the web UI begin with, if not the emulator's own.
    """

    entitled: bool = True
    password_login: bool = True
    cookie_name: str = "fastapiusersauth"
    session_seconds: float = 604_800.0
    workspace_in: str = "both"
    start_lag: float = 0.0
    list_lag: float = 0.0
    list_lags: list[float] = field(default_factory=list)
    takes_time_anchor: bool = True
    openapi: bool = True
    starts_fail: bool = False
    temporal_down: bool = False
    cancel_seconds: float = 0.5
    query_limit: int = 100
    interactions_enabled: bool = True
    inline_limit: int = 128_000
    blob_encoding: str = "json"
    blob_retention: float | None = None
    download_expires: float = 10.0
    any_refs: bool = False
    version: str = "1.0.0-beta.50"
    public_url: str | None = None
