"""Ports for servers that are told where to listen."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

RANGE = range(10_000, 32_000)
"""Below what systems give to sockets that ask for any port: no other test's server gets one of these between now and its use."""


def free_ports(count: int) -> list[int]:
    """TCP ports of loopback that nobody has at the moment, all different."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(RANGE, len(RANGE)):
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError("There is no free port.")
