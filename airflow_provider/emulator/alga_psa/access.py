"""Access control: keys, tenants, permissions, the rate limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from airflow_provider.emulator.alga_psa.errors import ApiError
from airflow_provider.emulator.alga_psa.vocabulary import PERMISSIONS
from airflow_provider.emulator.clock import Clock

TENANT = "0a1b2c3d-0000-4000-8000-00000000aaaa"
USER = "0a1b2c3d-0000-4000-8000-00000000bbbb"


@dataclass
class ApiKey:
    """A key of one user in one tenant.

    :ivar text: the key itself.
    :ivar permissions: permissions of its user for the resource ``automation``; empty, as in every stock installation: 403 to everything.
    :ivar active: False: it or its user is deactivated.
    :ivar expires_at: epoch seconds; None: never.
    :ivar usage_limit: maximum number of uses. The routes do not count uses: set ``usage_count``.
    :ivar usage_count: number of uses so far.
    :ivar rate_limit: None, or size of the token bucket and number of tokens that are refilled per minute.
    """

    text: str
    permissions: Sequence[str] = PERMISSIONS
    active: bool = True
    expires_at: float | None = None
    usage_limit: int | None = None
    usage_count: int = 0
    user_id: str = USER
    tenant: str = TENANT
    rate_limit: tuple[int, float] | None = None
    _bucket: Bucket = field(default_factory=lambda: Bucket(), init=False, repr=False, compare=False)

    def is_valid(self, tenant: str | None, now: float) -> bool:
        """Return whether it is valid, for ``tenant`` if one is given."""
        used_up = self.usage_limit is not None and self.usage_count >= self.usage_limit
        expired = self.expires_at is not None and self.expires_at <= now
        return self.active and not used_up and not expired and tenant in (None, self.tenant)

    def count(self, clock: Clock) -> None:
        """Take a token for a request.

        :raises ApiError: 429, the bucket is empty.
        """
        if self.rate_limit is not None:
            self._bucket.take(*self.rate_limit, clock.now())


@dataclass
class Bucket:
    """A token bucket, full at first."""

    taken: float = 0.0
    at: float = 0.0

    def take(self, size: int, per_minute: float, now: float) -> None:
        """Take a token.

        :raises ApiError: 429, the bucket is empty; only this answer has rate limit headers.
        """
        self.taken = max(0.0, self.taken - max(0.0, now - self.at) * per_minute / 60)
        self.at = now
        if self.taken + 1 <= size:
            self.taken += 1
            return
        wait = (self.taken + 1 - size) * 60 / per_minute
        headers = {
            "X-RateLimit-Limit": str(size),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": date(now + wait),
            "Retry-After": str(max(1, math.ceil(round(wait, 6)))),
        }
        raise ApiError(429, "Too many requests", {"retry_after_ms": math.ceil(round(wait * 1000, 3)), "remaining": 0}, headers=headers)


def date(seconds: float, *, zone: str = "Z") -> str:
    """Return epoch seconds as the vendor writes them: UTC with milliseconds."""
    text = datetime.fromtimestamp(round(seconds, 3), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[:-3] + zone


def seconds_of(text: str) -> float:
    """Return the epoch seconds of a validated date in a request."""
    whole, _, fraction = text[:-1].partition(".")
    at = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    return at + float(f"0.{fraction or '0'}")
