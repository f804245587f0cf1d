"""A connection to a server that speaks HTTP in all its ways, by TLS, and through a proxy."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from rmr1.engines.openai.connection import Answer, DirectConnection, LostError, ProxiedConnection
from rmr1.engines.openai.limits import Pacer
from rmr1.engines.openai.server import ChatServer, Patience

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: caf\xe9\r\n\r\nhi"
Replies = list[bytes | None]
"""What is sent for each request, in turn; None closes the connection instead."""


class Server:
    """Sends what it is told to; counts connections, keeps requests."""

    def __init__(self, replies: Replies):
        self.replies = replies
        self.num_connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while self.replies:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                self.requests.append(head + await reader.readexactly(length))
                reply = self.replies.pop(0)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
                if b"close" in reply.lower() or reply.endswith(b"cut"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(replies: Replies, tls: ssl.SSLContext | None = None) -> Any:
    server = Server(replies)
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def run(play: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await play()

    asyncio.run(limited())


def connect(server: Server, **options: Any) -> DirectConnection:
    url = f"http://127.0.0.1:{server.port}/api/v1"
    return DirectConnection(url, {"X-Mine": "1"}, connect_seconds=5.0, tls=None, **options)


async def ask(connection: DirectConnection, content: bytes = b"{}") -> Answer:
    return await connection.send("POST", "/chat", content, idempotency_key="k")


def test_one_connection_serves_all_requests() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    chunked = b"HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\nRetry-After: 2\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"

    async def play() -> None:
        async with serving([WHOLE, early + chunked, WHOLE]) as server:
            connection = connect(server)
            first, second, large = (
                await ask(connection),
                await ask(connection),
                await ask(connection, b"x" * 300_000),
            )
            assert (first.status, first.content, first.headers["x-name"]) == (200, b"hi", "caf\xe9")
            assert (second.status, second.content, second.headers["retry-after"]) == (429, b"hi", "2")
            assert large.content == b"hi" and len(server.requests[2]) > 300_000
            assert server.num_connections == 1
            head = server.requests[0].decode().lower()
            assert head.startswith("post /api/v1/chat http/1.1\r\n") and head.endswith("\r\n\r\n{}")
            assert "idempotency-key: k\r\n" in head and "x-mine: 1\r\n" in head
            assert f"host: 127.0.0.1:{server.port}\r\n" in head
            await connection.aclose()

    run(play)


def test_a_connection_that_was_closed_is_opened_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"

    async def play() -> None:
        async with serving(
            [closing, WHOLE, None, WHOLE, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", WHOLE]
        ) as server:
            connection = connect(server)
            assert (await ask(connection)).content == b"until the end"
            assert (await ask(connection)).content == b"hi"
            for _ in range(2):
                with pytest.raises(LostError) as lost:
                    await ask(connection)
                assert not lost.value.is_connect and lost.value.detail
                assert (await ask(connection)).content == b"hi"
            await connection.aclose()
        with pytest.raises(LostError) as lost:
            await ask(connection)
        assert lost.value.is_connect

    run(play)


def test_an_idle_connection_that_the_server_closed_is_noticed() -> None:
    async def play() -> None:
        async with serving([WHOLE]) as server:  # and closes
            connection = connect(server)
            await ask(connection)
            await asyncio.sleep(0.1)
            server.replies.append(WHOLE)
            assert (await ask(connection)).content == b"hi" and server.num_connections == 2
            await connection.aclose()

    run(play)


def test_what_is_no_http_is_a_lost_connection() -> None:
    async def play() -> None:
        async with serving([b"SSH-2.0-OpenSSH close\r\n\r\n"]) as server:
            with pytest.raises(LostError):
                await ask(connect(server))

    run(play)


def test_a_request_that_is_given_up_leaves_no_half_reply_behind() -> None:
    async def play() -> None:
        async with serving([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", WHOLE]) as server:
            connection = connect(server)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask(connection)
            assert (await ask(connection)).content == b"hi" and server.num_connections == 2
            await connection.aclose()

    run(play)


def make_server(url: str) -> ChatServer:
    patience = Patience(
        timeout_seconds=5, max_retries=0, backoff_seconds=0, max_backoff_seconds=0, connect_seconds=1
    )
    return ChatServer(
        "judge",
        url,
        concurrency=1,
        patience=patience,
        pacer=Pacer(),
        use_max_completion_tokens=None,
        extra_body={},
        extra_headers={},
        api_key_env="RMR1_TEST_KEY",
    )


def test_a_proxy_is_for_the_world_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with serving([WHOLE]) as proxy:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            assert isinstance(make_server("http://localhost:1/v1").open_connection(), DirectConnection)
            connection = make_server("http://judge.invalid/v1").open_connection()
            assert isinstance(connection, ProxiedConnection)
            assert (await connection.send("POST", "/chat", b"{}")).content == b"hi"
            assert proxy.requests[0].startswith(b"POST http://judge.invalid/v1/chat HTTP/1.1\r\n")
            await connection.aclose()

    run(play)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def play() -> None:
        async with serving([WHOLE], tls) as server:
            url = f"https://localhost:{server.port}/v1"
            stranger = make_server(url).open_connection()
            with pytest.raises(LostError) as lost:
                await stranger.send("GET", "/models")
            assert lost.value.is_connect and "certificate verify failed" in lost.value.detail
            known = DirectConnection(
                url, {}, connect_seconds=5.0, tls=ssl.create_default_context(cafile=str(certificate))
            )
            assert (await known.send("GET", "/models")).content == b"hi"
            await known.aclose()

    run(play)
