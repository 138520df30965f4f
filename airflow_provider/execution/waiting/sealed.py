"""
Secrets on their way to the triggerer, sealed with the connection's credential.

A trigger has to know the task's secret arguments, so that it can hide them in the remote log. Its arguments are stored in Airflow's
database, so they hold no secret: only who may read the connection can open them.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken


class CannotOpen(Exception):
    """The connection has another credential than when the secrets were sealed."""


def seal(secrets: Sequence[str], conn_id: str, credential: Sequence[str]) -> str | None:
    """
    Seal texts.

    :param conn_id: the connection.
    :param credential: the texts of its credential.
    :returns: a text for :func:`unseal`; None if there is nothing to seal.
    """
    if not secrets:
        return None
    return _fernet(conn_id, tuple(credential)).encrypt(json.dumps(list(secrets)).encode()).decode()


def unseal(sealed: str | None, conn_id: str, credential: Sequence[str]) -> list[str]:
    """
    Open what :func:`seal` has made. It takes some 50 ms the first time for a credential: not for an event loop.

    :raises CannotOpen: if the credential is another one.
    """
    if sealed is None:
        return []
    try:
        return [str(text) for text in json.loads(_fernet(conn_id, tuple(credential)).decrypt(sealed))]
    except (InvalidToken, ValueError):
        raise CannotOpen from None


@lru_cache(maxsize=64)
def _fernet(conn_id: str, credential: tuple[str, ...]) -> Fernet:
    key = hashlib.scrypt(json.dumps(credential).encode(), salt=conn_id.encode(), n=2**14, r=8, p=1, dklen=32)
    return Fernet(urlsafe_b64encode(key))
