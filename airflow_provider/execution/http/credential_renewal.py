"""The credential that a sender uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider.execution.http.endpoint import Endpoint, origin
from airflow_provider.execution.model.request import Request


class Credential:
    """
    The credential that one sender uses. It may change meanwhile: a token is rotated, a password renewed.

    If the API refuses what it accepted before, the connection is read again; but only once, since a second refusal in a row
    is not a passing one.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        """The connection, with the credential in use."""
        self.cookie: str | None = None
        """Of the session in use, if there is one."""
        self.accepted = False
        """Whether the API has accepted the credential in use."""
        self._fallback: Endpoint | None = None
        """With the credential that was accepted before the one in use."""
        self._used = [(endpoint.headers, endpoint.login)]

    def may_be_renewed(self, request: Request[Any], refused: Endpoint) -> bool:
        """
        Whether reading the connection again may help against a 401.

        :param refused: what was in use for the request.
        """
        at_own_origin = request.url is None or origin(request.url) == origin(refused.base_url)
        return at_own_origin and (self.accepted or self._fallback is not None or self.endpoint is not refused)

    def renew(self, current: Endpoint) -> bool:
        """
        Use the credential that the connection has now.

        If that is the refused one, and it was never accepted, go back to the one before, which was.

        :param current: the connection as it is now.
        :returns: False if there is no other credential, or the connection has another address by now.
        """
        fallback = None if self.accepted else self._fallback
        self.accepted, self._fallback = False, None
        if current.base_url != self.endpoint.base_url:
            return False
        if (current.headers, current.login) != (self.endpoint.headers, self.endpoint.login):
            self._use(current)
            return True
        if fallback is not None:
            self._use(fallback)
        return fallback is not None

    def adopt(self, current: Endpoint) -> None:
        """
        Use the credential that another user of the sender has read from the connection, unless it was in use here before.

        :param current: the connection as that user has read it.
        """
        if (current.headers, current.login) not in self._used:
            self._fallback = self.endpoint if self.accepted else self._fallback
            self._use(current)

    def _use(self, source: Endpoint) -> None:
        self.accepted = False
        self.endpoint = replace(self.endpoint, headers=source.headers, login=source.login)
        self.cookie = None
        self._used.append((source.headers, source.login))
