"""The credential that one sender goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider.execution.http.endpoint import Endpoint, origin
from airflow_provider.execution.model.request import Request


class Credential:
    """
    The credential that one sender goes by, which may be changed while it is in use: a token rotated, a password renewed.

    It is worth reading the connection again if the API refuses what it took before, and only once: an answer that is still refused
    is no passing trouble.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.cookie: str | None = None
        self.taken = False
        self._proven: Endpoint | None = None
        self._had = [(endpoint.headers, endpoint.login)]

    def may_be_renewed(self, request: Request[Any], refused: Endpoint) -> bool:
        """Whether reading the connection again may help against a 401 of our own API."""
        at_home = request.url is None or origin(request.url) == origin(refused.base_url)
        return at_home and (self.taken or self._proven is not None or self.endpoint is not refused)

    def renew(self, read: Endpoint) -> bool:
        """
        Go on with the credential of the connection as it reads now.

        If that is the one that was refused, and was never taken, go back to the one before: it was.

        :returns: False if there is no other, or the connection leads to another address.
        """
        proven = None if self.taken else self._proven
        self.taken, self._proven = False, None
        if read.base_url != self.endpoint.base_url:
            return False
        if (read.headers, read.login) != (self.endpoint.headers, self.endpoint.login):
            return self._use(read)
        return proven is not None and self._use(proven)

    def adopt(self, read: Endpoint) -> None:
        """Go on with the credential that somebody else has read from the connection, unless it was in use here before."""
        if (read.headers, read.login) not in self._had:
            self._proven = self.endpoint if self.taken else self._proven
            self._use(read)

    def _use(self, read: Endpoint) -> bool:
        self.taken = False
        self.endpoint = replace(self.endpoint, headers=read.headers, login=read.login)
        self.cookie = None
        self._had.append((read.headers, read.login))
        return True
