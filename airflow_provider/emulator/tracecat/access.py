"""Access control: service account keys with scopes, users with sessions."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.tracecat.errors import forbidden, unauthorized

MINIMAL_SCOPES = ("workflow:read", "workflow:execute", "workflow:terminate", "action:*:execute", "schedule:read", "workspace:read")
USER_SCOPES = (
    *MINIMAL_SCOPES,
    "workflow:create",
    "workflow:update",
    "workflow:delete",
    "schedule:create",
    "schedule:update",
    "schedule:delete",
    "inbox:read",
    "agent:read",
    "agent:update",
    "agent:delete",
    "org:read",
    "org:workspace:read",
)
WORKSPACE_KEY = "tc_ws_sk_"
ORGANIZATION_KEY = "tc_org_sk_"
_BASE62 = string.digits + string.ascii_letters


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


@dataclass
class Workspace:
    """A workspace."""

    name: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class ServiceKey:
    """A service account and its key.

    :ivar scopes: may contain wildcards, such as ``action:*:execute``.
    :ivar workspace: id of the only workspace that it is valid for; None: the whole organization.
    :ivar key: the key itself.
    :ivar revoked: the key is no longer valid.
    :ivar disabled: the account is switched off.
    """

    scopes: Sequence[str] = MINIMAL_SCOPES
    workspace: str | None = None
    name: str = "airflow"
    key: str = ""
    revoked: bool = False
    disabled: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    key_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: float = 0.0

    def __post_init__(self) -> None:
        if not self.key:
            self.key = f"{WORKSPACE_KEY if self.workspace else ORGANIZATION_KEY}{_random(12)}_{_random(32)}"


@dataclass
class User:
    """A user who logs in with a password."""

    email: str = "ada@example.com"
    password: str = "emulator-password"  # noqa: S105 - good for nothing but loopback
    first_name: str | None = "Ada"
    last_name: str | None = "Lovelace"
    scopes: Sequence[str] = USER_SCOPES
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class Caller:
    """The identity behind a request, or behind the start of an execution.

    :ivar kind: ``user``, ``service_account``, or ``service`` for webhooks and schedules.
    """

    kind: str
    scopes: tuple[str, ...]
    id: str | None = None
    workspace: str | None = None
    service: str = "tracecat-api"

    def may(self, scope: str) -> bool:
        """Return whether it has a scope; updating includes reading."""
        sufficient = [scope, "workflow:update"] if scope == "workflow:read" else [scope]
        return any(fnmatchcase(alternative, granted) for alternative in sufficient for granted in self.scopes)

    def role(self, workspace: str, organization: str) -> dict[str, Any]:
        """Return it as the vendor's object ``role``."""
        return {
            "type": self.kind,
            "workspace_id": workspace,
            "bound_workspace_id": self.workspace,
            "organization_id": organization,
            "user_id": self.id if self.kind == "user" else None,
            "service_account_id": self.id if self.kind == "service_account" else None,
            "service_id": self.service,
            "is_platform_superuser": False,
            "scopes": list(self.scopes),
        }


RUNNER = Caller("service", USER_SCOPES, service="tracecat-runner")
SCHEDULER = Caller("service", USER_SCOPES, service="tracecat-schedule-runner")


@dataclass
class WebhookKey:
    """The additional key of a webhook."""

    key: str
    created_at: float
    revoked_at: float | None = None


def preview(key: str) -> str:
    """Return the part of a key that is shown after it was issued."""
    kind = "_".join(key.split("_")[:-2] if key.startswith(("tc_ws", "tc_org")) else key.split("_")[:2])
    return f"{kind}_...{key[-4:]}"


class Sessions:
    """The sessions of users: opaque tokens that expire."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, tuple[User, float]] = {}

    def begin(self, user: User, seconds: float) -> str:
        """Return the token of a new session."""
        token = secrets.token_urlsafe(32)
        self._open[token] = user, self._clock.now() + seconds
        return token

    def user(self, token: str | None) -> User | None:
        """Return the user of a session; None: there is no such session, or it has ended."""
        user, ends = self._open.get(token or "", (None, 0.0))
        return user if self._clock.now() < ends else None

    def end(self, token: str | None) -> None:
        """End a session."""
        self._open.pop(token or "", None)

    def end_all(self) -> None:
        """End all sessions, as if the server had lost them."""
        self._open.clear()


def caller_of_user(user: User) -> Caller:
    """Return the caller for a user."""
    return Caller("user", tuple(user.scopes), user.id)


def caller_of_key(authorization: str | None, keys: Sequence[ServiceKey], entitled: bool) -> Caller:
    """Return the caller for an Authorization header.

    :raises ApiError: 403, there is no key; 401, the key is not valid.
    """
    kind, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token.startswith((WORKSPACE_KEY, ORGANIZATION_KEY)):
        raise forbidden()
    for key in keys:
        if key.key == token and entitled and not key.revoked and not key.disabled:
            return Caller("service_account", tuple(key.scopes), key.id, key.workspace)
    raise unauthorized()
