"""The address that a server listens at."""

from __future__ import annotations

import socket

from rmr1.errors import ConfigError
from rmr1.faces import name_option


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address; port 0 takes a free one.

    Raises:
        ConfigError: there is no such address, or it is taken.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"{name_option('port')} {port}: expected 0 to 65535")
    listener: socket.socket | None = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        if listener is not None:
            listener.close()
        raise ConfigError(
            f"cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}"
        ) from None
    return listener


def name_address(listener: socket.socket) -> str:
    """`http://127.0.0.1:8300`, of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
