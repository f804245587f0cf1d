"""HTTP to one server by aiohttp: connections are kept open, and replies told apart from lost connections.

Proxies and certificates are those of the environment, as most clients read it: `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`
and the like, `SSL_CERT_FILE` and `SSL_CERT_DIR`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi

from rmr1.errors import GenerationError
from rmr1.version import __version__

_MOST_HEADER_BYTES = 1 << 17
_LARGE_BYTES = 1 << 20
"""aiohttp warns of larger bodies that are bytes; files it sends in pieces."""


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
    """Headers by their names, in whatever case they are looked up."""
    content: bytes


class Connection:
    """Sends requests to one server, each over a connection that is idle, else over a new one; belongs to one event
    loop. Redirects are answers, cookies are not kept."""

    def __init__(self, base_url: str, headers: Mapping[str, str], *, connect_seconds: float):
        """Prepare to ask a server below `base_url`; nothing is sent yet. `connect_seconds` is the limit of looking up
        the name, connecting and TLS together.

        Raises:
            GenerationError: the environment names a proxy that is none, or certificates that cannot be read.
        """
        self._base_url = base_url.rstrip("/")
        # They go with each request: those of a session aiohttp sends to the proxy too, the key among them.
        self._headers = {"user-agent": f"rmr1/{__version__}"}
        self._headers |= {name.lower(): value for name, value in headers.items()}
        # Proxies are given to it: aiohttp's `trust_env` would look them up for every request, in a thread, and send
        # the password that ~/.netrc holds for the host to servers without a key.
        proxy = find_proxy(base_url)
        is_tls = any(urlsplit(url).scheme == "https" for url in (base_url, proxy or ""))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_load_certificates() if is_tls else True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds),
            proxy=proxy,
            max_line_size=_MOST_HEADER_BYTES,
            max_field_size=_MOST_HEADER_BYTES,
        )

    async def send(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        take: Callable[[bytes], None] | None = None,
        **headers: str,
    ) -> Answer:
        """Ask for a path below the base URL; underscores in names of headers become hyphens. `take` gets the bytes of the
        reply as they come. A time limit is the caller's.

        Raises:
            LostError: no whole reply came.
        """
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                data=BytesIO(content) if len(content) > _LARGE_BYTES else content or None,
                headers=self._headers | {name.replace("_", "-"): value for name, value in headers.items()},
                allow_redirects=False,
            ) as response:
                if take is None:
                    received = await response.read()
                else:
                    parts = []
                    async for part in response.content.iter_any():
                        parts.append(part)
                        take(part)
                    received = b"".join(parts)
                return Answer(status=response.status, headers=response.headers, content=received)
        except aiohttp.ConnectionTimeoutError:
            raise LostError("the connection took too long", is_connect=True) from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, UnicodeError) as error:  # the last: of IDNA
            where = "the proxy: " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
            raise LostError(where + _describe(error.__cause__ or error), is_connect=True) from None
        except aiohttp.ClientResponseError as error:
            # Of a proxy that makes no connection, or a reply that is no HTTP; its text repeats URLs.
            is_proxy = isinstance(error, aiohttp.ClientHttpProxyError)
            said = f"the proxy answers {error.status}: {error.message}" if is_proxy else error.message
            raise LostError(said, is_connect=is_proxy) from None
        except aiohttp.ServerDisconnectedError:  # its text may be what is left of a head
            raise LostError("the server closed the connection without a reply") from None
        except (aiohttp.ClientError, OSError) as error:
            raise LostError(_describe(error)) from None

    async def aclose(self) -> None:
        """Close all connections for good."""
        await self._session.close()


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__


def find_proxy(url: str) -> str | None:
    """The proxy that the environment names for a URL; None for this machine, and for what `NO_PROXY` exempts.

    Raises:
        GenerationError: it is no HTTP proxy.
    """
    parts = urlsplit(url)
    named = getproxies()
    proxy = named.get(parts.scheme) or named.get("all")
    if not proxy or _is_local(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        raise GenerationError(
            f"the environment names a proxy for {parts.scheme}://{parts.netloc} that speaks {scheme!r}; expected one "
            "of HTTP, such as http://proxy:3128; set NO_PROXY to ask the server directly"
        )
    return proxy


def _is_local(host: str) -> bool:
    with suppress(ValueError):
        address = ip_address(host)
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def _load_certificates() -> ssl.SSLContext:
    """Those of the environment, else certifi's."""
    file, folder = (os.environ.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    try:
        return _read_certificates(file or (None if folder else certifi.where()), folder)
    except (OSError, ValueError) as error:
        raise GenerationError(f"the TLS certificates cannot be read: {error}") from None


@lru_cache(maxsize=2)
def _read_certificates(file: str | None, folder: str | None) -> ssl.SSLContext:
    """It takes longer than a request."""
    context = ssl.create_default_context(cafile=file, capath=folder)
    context.set_alpn_protocols(["http/1.1"])
    return context
