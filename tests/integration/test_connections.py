"""Connections to a server that speaks HTTP in all its ways, by TLS, and through a proxy."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from rmr1.engines.openai.connection import Answer, Connection, LostError, find_proxy
from rmr1.engines.openai.limits import Pacer
from rmr1.engines.openai.server import ChatServer, Patience
from rmr1.errors import GenerationError

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: 1\r\nSet-Cookie: a=b\r\n\r\nhi"
Replies = list[bytes | None]
"""What is sent for each request, in turn; None closes the connection instead."""


class Server:
    """Sends what it is told to; counts connections, keeps requests."""

    def __init__(self, replies: Replies):
        self.replies = replies
        self.num_connections = 0
        self.num_ended = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while self.replies:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int((head.lower().partition(b"content-length:")[2].split() or [b"0"])[0])
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
            self.num_ended += 1
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


def connect(server: Server) -> Connection:
    url = f"http://127.0.0.1:{server.port}/api/v1"
    return Connection(url, {"X-Mine": "1"}, connect_seconds=5.0)


async def ask(connection: Connection, content: bytes = b"{}") -> Answer:
    return await connection.send("POST", "/chat", content, idempotency_key="k")


def test_one_connection_serves_all_requests() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    chunked = b"HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\nRetry-After: 2\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"

    async def play() -> None:
        async with serving([WHOLE, early + chunked, WHOLE]) as server:
            connection = connect(server)
            first, second = await ask(connection), await ask(connection)
            large = await ask(connection, b"x" * 2_000_000)
            assert (first.status, first.content, first.headers["x-name"]) == (200, b"hi", "1")
            assert (second.status, second.content, second.headers["retry-after"]) == (429, b"hi", "2")
            assert large.content == b"hi" and len(server.requests[2]) > 2_000_000
            assert server.num_connections == 1
            head = server.requests[0].decode().lower()
            assert head.startswith("post /api/v1/chat http/1.1\r\n") and head.endswith("\r\n\r\n{}")
            assert "idempotency-key: k\r\n" in head and "x-mine: 1\r\n" in head
            assert f"host: 127.0.0.1:{server.port}\r\n" in head and "user-agent: rmr1/" in head
            assert not any(b"cookie:" in request.lower() for request in server.requests)
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
        await asyncio.sleep(0.1)
        with pytest.raises(LostError) as lost:
            await ask(connection)
        assert lost.value.is_connect and lost.value.detail.startswith("[Errno 111] Connect call failed")
        await connection.aclose()

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
            connection = connect(server)
            with pytest.raises(LostError, match="HTTP"):
                await ask(connection)
            await connection.aclose()

    run(play)


def test_a_request_that_is_given_up_leaves_no_half_reply_behind() -> None:
    async def play() -> None:
        async with serving([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", WHOLE]) as server:
            connection = connect(server)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask(connection)
            await asyncio.sleep(0.1)
            assert server.num_ended == 1  # the server need not go on
            assert (await ask(connection)).content == b"hi" and server.num_connections == 2
            await connection.aclose()

    run(play)


def test_requests_at_a_time_have_a_connection_each() -> None:
    async def play() -> None:
        async with serving([WHOLE] * 40) as server:
            connection = connect(server)
            for _ in range(2):
                answers = await asyncio.gather(*(ask(connection) for _ in range(20)))
                assert [one.content for one in answers] == [b"hi"] * 20
            assert server.num_connections == 20
            await connection.aclose()

    run(play)


def test_compressed_replies_are_read() -> None:
    packed = gzip.compress(b"hi" * 1000)
    reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    broken = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw"

    async def play() -> None:
        async with serving([reply + packed, broken]) as server:
            connection = connect(server)
            assert (await ask(connection)).content == b"hi" * 1000
            with pytest.raises(LostError) as lost:
                await ask(connection)
            assert not lost.value.is_connect and "gzip" in lost.value.detail
            await connection.aclose()

    run(play)


def test_redirects_are_answers() -> None:
    async def play() -> None:
        async with serving([WHOLE]) as other:
            away = (
                b"HTTP/1.1 307 Gone\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:%d/\r\n\r\n"
                % other.port
            )
            async with serving([away]) as server:
                connection = connect(server)
                assert (await ask(connection)).status == 307
                await connection.aclose()
            assert not other.num_connections

    run(play)


def test_a_server_that_does_not_greet_is_given_up_in_time() -> None:
    async def play() -> None:
        async with serving([WHOLE]) as server:  # waits for a request, and never begins with TLS
            connection = Connection(f"https://127.0.0.1:{server.port}/v1", {}, connect_seconds=0.2)
            with pytest.raises(LostError) as lost:
                await ask(connection)
            assert lost.value.is_connect and lost.value.detail == "the connection took too long"
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


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.upper, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_a_proxy_is_for_the_world_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))

    async def play() -> None:
        async with serving([WHOLE, WHOLE]) as proxy, serving([WHOLE]) as local:
            monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
            connection = make_server(f"http://localhost:{local.port}/v1").open_connection()
            await ask(connection)
            await connection.aclose()
            assert local.requests and not proxy.requests
            connection = make_server("http://judge.invalid/v1").open_connection()
            for _ in range(2):
                assert (await ask(connection)).content == b"hi"
            await connection.aclose()
            for request in proxy.requests:
                assert request.startswith(b"POST http://judge.invalid/v1/chat HTTP/1.1\r\n")
                assert b"proxy-authorization: basic bwu6c2vjcmv0" in request.lower()
                assert b"\r\nauthorization:" not in request.lower()  # nor what .netrc holds
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")  # and is gone
        connection = make_server("http://judge.invalid/v1").open_connection()
        with pytest.raises(LostError) as lost:
            await ask(connection)
        assert lost.value.is_connect and lost.value.detail.startswith(
            "the proxy: [Errno 111] Connect call failed"
        )
        assert "secret" not in lost.value.detail
        await connection.aclose()

    run(play)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"all_proxy": "http://p:1"}, "http://p:1"),
        ({"http_proxy": "http://p:1"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "other.org"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": ".judges.org"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "judges.org:8443"}, None),
        ({"https_proxy": "http://p:1", "no_proxy": "judges.org:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": "*"}, None),
        ({"https_proxy": "socks5://p:1", "no_proxy": "*"}, None),
    ],
)
def test_proxies_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_proxy("https://a.judges.org:8443/v1") == expected


def test_a_proxy_that_is_none_of_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://me:secret@p:1")
    with pytest.raises(GenerationError, match=r"speaks 'socks5'; expected one of HTTP") as caught:
        make_server("https://judge.invalid/v1").open_connection()
    assert "secret" not in str(caught.value)


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that connects to where it is told, whatever the name; refuses `closed.invalid`."""
    head = await reader.readuntil(b"\r\n\r\n")
    told = [line for line in head.lower().splitlines() if b"authorization" in line]
    assert told == [b"proxy-authorization: basic bwu6c2vjcmv0"]  # and not the server's key
    host, _, port = head.split()[1].decode().rpartition(":")
    if host == "closed.invalid":
        writer.write(b"HTTP/1.1 403 Not That One\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    there, back = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    await asyncio.gather(pour(reader, back), pour(there, writer))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:judge.invalid"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def play() -> None:
        async with serving([WHOLE] * 3, tls) as server:
            url = f"https://localhost:{server.port}/v1"
            stranger = make_server(url).open_connection()
            with pytest.raises(LostError) as lost:
                await stranger.send("GET", "/models")
            assert lost.value.is_connect and lost.value.detail.startswith("[SSL: CERTIFICATE_VERIFY_FAILED]")
            await stranger.aclose()

            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            known = make_server(url).open_connection()
            assert (await known.send("GET", "/models")).content == b"hi"
            await known.aclose()

            monkeypatch.setenv("RMR1_TEST_KEY", "sk-a-key-of-no-one")
            proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
            monkeypatch.setenv(
                "https_proxy", f"http://me:secret@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            )
            proxied = make_server(f"https://judge.invalid:{server.port}/v1").open_connection()
            for _ in range(2):
                assert (await proxied.send("GET", "/models")).content == b"hi"
            assert server.num_connections == 2  # which counts none that ended before a greeting
            assert b"bearer sk-a-key" in server.requests[-1].lower()
            await proxied.aclose()

            refused = make_server("https://closed.invalid/v1").open_connection()
            with pytest.raises(LostError) as lost:
                await refused.send("GET", "/models")
            assert lost.value.is_connect and lost.value.detail == "the proxy answers 403: Not That One"
            await refused.aclose()
            proxy.close()

    run(play)


def test_certificates_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/cert.pem")
    with pytest.raises(GenerationError, match=r"^the TLS certificates cannot be read: .*No such file"):
        make_server("https://judge.invalid/v1").open_connection()
