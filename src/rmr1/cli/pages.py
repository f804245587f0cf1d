"""Pages in this user's browser: where they are listened at, the link with its token, and the end by Ctrl-C."""

from __future__ import annotations

import secrets
import signal
import socket
import tempfile
import webbrowser
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rmr1.cli.options import add
from rmr1.cli.session import tell
from rmr1.errors import ConfigError
from rmr1.server.guard import is_loopback
from rmr1.server.listen import listen, name_address


def add_page_arguments(parser: ArgumentParser, port: int) -> None:
    """Where the pages are, and whether they are opened."""
    add(parser, "--port N", f"port (default {port}, or a free one if it is taken; 0 takes a free one)")
    add(parser, "--host ADDRESS", "address to listen at", default="127.0.0.1")
    add(parser, "--open", "open the link in the browser")


def listen_or_free(host: str, port: int | None, usual: int) -> socket.socket:
    """Listen at the port that was asked for, which has to be free; else at the usual one, or a free one."""
    if port is not None:
        return listen(host, port)
    try:
        return listen(host, usual)
    except ConfigError:
        return listen(host, 0)


def warn_of_host(host: str, does: str) -> None:
    """Say who can do what, unless only this machine can."""
    if not is_loopback(host):
        tell(f"anybody who reaches {host} and has the link can {does}")


def serve_pages(
    make_app: Callable[..., Any], listener: socket.socket, *, is_opened: bool = False, query: str = ""
) -> None:
    """Serve an application until Ctrl-C or SIGTERM.

    Args:
        make_app: Called with the link's `token`.
        listener: The bound socket.
        is_opened: Whether to open the link in the browser.
        query: Further parameters of the link, as `&who=ada`.
    """
    import uvicorn

    token = secrets.token_urlsafe(24)
    link = f"{name_address(listener)}/?token={token}{query}"
    settings = uvicorn.Config(
        make_app(token=token),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    listener.listen()  # who follows the link at once waits, and is not refused
    tell(f"open {link}")
    tell("end it with Ctrl-C")
    with ExitStack() as opened:
        if is_opened:
            webbrowser.open(opened.enter_context(_hide_link(link)))
        signal.signal(signal.SIGTERM, _end)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])


@contextmanager
def _hide_link(link: str) -> Iterator[str]:
    """The address of a page that leads to the link and that only this user can read; command lines are seen by all."""
    with tempfile.TemporaryDirectory(prefix="rmr1-view-") as folder:  # made for its owner alone
        page = Path(folder) / "open.html"
        page.write_text(f'<meta http-equiv="refresh" content="0;url={link}">', encoding="utf-8")
        yield page.as_uri()


def _end(*_: object) -> None:
    raise SystemExit(0)
