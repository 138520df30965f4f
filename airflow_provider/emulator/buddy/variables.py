"""Variables of a workspace, as tests describe them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIRST_DEFAULT_ID = 1_000_000
"""Ids of the default variables begin here, so that those of other variables are consecutive."""

TYPES = ("VAR", "FILE", "SSH_KEY", "SSH_PUBLIC_KEY", "IOS_KEYCHAIN", "IOS_PROVISION_PROFILES", "GPG_KEY")


@dataclass
class Variable:
    """A variable; without a scope it belongs to the workspace. At most one scope can be set.

    :ivar value: plain text; answers contain ciphertext if it is encrypted.
    :ivar type: one of the vendor's, ``VAR`` or a kind of file.
    :ivar settable: whether an action may change it.
    :ivar run_only_settable: whether an action may change it for the rest of its run only.
    :ivar project: scope: handle of a project.
    :ivar pipeline: scope: id of a pipeline.
    :ivar action: scope: id of an action.
    :ivar environment: scope: id of an environment.
    :ivar sandbox: scope: id of a sandbox.
    :ivar definition: more fields of the vendor's object, such as ``init_path``.
    :ivar id: default: assigned when it is added.
    """

    key: str
    value: str = ""
    type: str = "VAR"
    encrypted: bool = False
    settable: bool = False
    run_only_settable: bool = False
    description: str | None = None
    workspace: str = "demo"
    project: str | None = None
    pipeline: int | None = None
    action: int | None = None
    environment: str | None = None
    sandbox: str | None = None
    definition: dict[str, Any] = field(default_factory=dict)
    id: int | None = None

    @property
    def scopes(self) -> dict[str, str | int]:
        """What it is limited to: none or one of ``project``, ``pipeline``, ``action``, ``environment``, ``sandbox``."""
        values = {
            "project": self.project,
            "pipeline": self.pipeline,
            "action": self.action,
            "environment": self.environment,
            "sandbox": self.sandbox,
        }
        return {name: value for name, value in values.items() if value is not None}

    def check(self) -> None:
        """Check scopes, key and type.

        :raises ValueError: it has several scopes, no key, or an unknown type.
        """
        if len(self.scopes) > 1:
            raise ValueError("Only one scope is allowed")
        if not self.key:
            raise ValueError("Field key is required")
        if self.type not in TYPES:
            raise ValueError(f"unknown variable type {self.type!r}: one of {', '.join(TYPES)}")
