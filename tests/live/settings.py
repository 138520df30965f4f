"""Where the real servers are: environment variables. Without them, nothing in this folder is run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from typing_extensions import Self


@dataclass(frozen=True)
class TracecatServer:
    """A Tracecat, and who the tests are there."""

    url: str
    workspace: str
    key: str = field(default="", repr=False)
    login: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def given(cls, environment: Mapping[str, str] = os.environ) -> Self | str:
        """What the variables say; or which of them are missing."""
        url, workspace, key, login, password = (
            environment.get(f"TRACECAT_LIVE_{name}", "").strip() for name in ("URL", "WORKSPACE", "KEY", "LOGIN", "PASSWORD")
        )
        missing = [name for name, value in (("URL", url), ("WORKSPACE", workspace)) if not value]
        missing += [] if key or (login and password) else ["KEY (or LOGIN and PASSWORD)"]
        if missing:
            return f"no Tracecat is given: TRACECAT_LIVE_{', TRACECAT_LIVE_'.join(missing)}"
        return cls(url.rstrip("/"), workspace, key, login, password)

    @property
    def credentials(self) -> dict[str, str]:
        """As fields of an Airflow connection."""
        return {"password": self.key} if self.key else {"login": self.login, "password": self.password}


@dataclass(frozen=True)
class BuddyAccount:
    """An account at Buddy. Only ``pipeline``, if one is named, is run."""

    token: str = field(repr=False)
    workspace: str
    project: str
    url: str = "https://api.buddy.works"
    pipeline: str = ""

    @classmethod
    def given(cls, environment: Mapping[str, str] = os.environ) -> Self | str:
        """What the variables say; or which of them are missing."""
        values = {name: environment.get(f"BUDDY_LIVE_{name}", "").strip() for name in ("TOKEN", "WORKSPACE", "PROJECT")}
        if missing := [name for name, value in values.items() if not value]:
            return f"no account at Buddy is given: BUDDY_LIVE_{', BUDDY_LIVE_'.join(missing)}"
        url, pipeline = (environment.get(f"BUDDY_LIVE_{name}", "").strip() for name in ("URL", "PIPELINE"))
        return cls(values["TOKEN"], values["WORKSPACE"], values["PROJECT"], url.rstrip("/") or cls.url, pipeline)
