"""One HTTP connection to one server, kept open from request to request.

HTTP is h11's, and TLS asyncio's. What a general client does besides (cookies, redirects, encodings, looking for another
connection) no server needs that is asked the same thing thousands of times, and it took most of the time that this
process spent on a request. A server behind a proxy is asked through httpx (`ProxiedConnection`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import h11
import httpx

from rmr1.version import __version__

_READ_BYTES = 65536
_MOST_HEADER_BYTES = 1 << 17
_HAPPY_EYEBALLS_SECONDS = 0.25


@dataclass(eq=False)
class LostError(Exception):
    """No reply came."""

    detail: str
    is_connect: bool = False
    """Whether there was no connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server sent, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    content: bytes


class Connection(Protocol):
    """Sends one request at a time; `LostError` if no whole reply comes. A time limit is the caller's."""

    async def send(self, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
        """Ask for a path below the base URL; underscores in names of headers become hyphens."""
        ...

    async def aclose(self) -> None:
        """Close it; a later request opens it again."""
        ...


class DirectConnection:
    """A connection to the server itself."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        connect_seconds: float,
        tls: ssl.SSLContext | None,
    ):
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._tls = tls
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._base = parts.path.rstrip("/")
        self._connect_seconds = connect_seconds
        own = {"host": parts.netloc, "accept": "*/*", "user-agent": f"rmr1/{__version__}"}
        own |= {name.lower(): value for name, value in headers.items()}
        self._headers = [(name.encode(), value.encode()) for name, value in own.items()]
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
        is_whole = False
        try:
            reader, writer = await self._open()
            more = [
                (name.replace("_", "-").encode(), value.encode())
                for name, value in {**headers, "content_length": str(len(content))}.items()
            ]
            head = h11.Request(method=method, target=self._base + path, headers=[*self._headers, *more])
            begin = self._http.send(head) or b""
            writer.write(begin + content if len(content) < _READ_BYTES else begin)
            self._http.send(h11.Data(data=content))
            if len(content) >= _READ_BYTES:
                writer.write(content)
            self._http.send(h11.EndOfMessage())
            await writer.drain()
            answer = await self._read(reader)
            is_whole = True
            return answer
        except (OSError, h11.ProtocolError, asyncio.IncompleteReadError) as error:
            raise LostError(str(error) or type(error).__name__) from None
        finally:
            if is_whole and self._http.our_state is self._http.their_state is h11.DONE:
                self._http.start_next_cycle()
            else:
                self._drop()

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        status, headers, pieces = 0, {}, []
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status=status, headers=headers, content=b"".join(pieces))
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                raise OSError("the server closed the connection without a reply")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None:
            if not self._reader.at_eof() and self._reader.exception() is None:
                return self._reader, self._writer
            self._drop()  # the server has closed it meanwhile
        try:
            async with asyncio.timeout(self._connect_seconds):
                self._reader, self._writer = await asyncio.open_connection(
                    self._host,
                    self._port,
                    ssl=self._tls,
                    limit=1 << 20,
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS,
                )
        except TimeoutError:
            raise LostError("the connection took too long", is_connect=True) from None
        except (OSError, ValueError) as error:
            raise LostError(str(error) or type(error).__name__, is_connect=True) from None
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEADER_BYTES)
        return self._reader, self._writer

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def aclose(self) -> None:
        writer = self._writer
        self._drop()
        if writer is not None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()


class ProxiedConnection:
    """A connection through the proxy that the environment names."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, connect_seconds: float, tls: ssl.SSLContext
    ):
        self._base_url = base_url
        self._client = httpx.AsyncClient(
            headers=dict(headers),
            timeout=httpx.Timeout(None, connect=connect_seconds),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            verify=tls,
        )

    async def send(self, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            found = await self._client.request(method, self._base_url + path, content=content, headers=named)
        except httpx.HTTPError as error:
            is_connect = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            raise LostError(str(error) or type(error).__name__, is_connect=is_connect) from None
        return Answer(status=found.status_code, headers=found.headers, content=found.content)

    async def aclose(self) -> None:
        await self._client.aclose()
