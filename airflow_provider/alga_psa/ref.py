"""The ref of an AlgaPSA execution: its UUID."""

from __future__ import annotations

import re

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import shown_ref

REF_FORM = "0b54a1f2-7c3e-4d58-9b1a-2f6e8d0c4a77"
UUID = r"(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
"""Pattern of an id (a UUID of any version), as AlgaPSA checks it."""


def is_uuid(text: object) -> bool:
    """Whether ``text`` has the form of an id."""
    return re.fullmatch(UUID, str(text)) is not None


def parse_ref(ref: object) -> str:
    """
    Check a ref.

    :returns: the ref in lower case.
    :raises ConfigurationError: if it is not a ref.
    """
    text = str(ref).strip()
    if not is_uuid(text):
        raise ConfigurationError(
            f"{shown_ref(ref)} is not the ref of an AlgaPSA execution. The ref is its UUID, such as {REF_FORM}.", system="alga_psa"
        )
    return text.lower()
