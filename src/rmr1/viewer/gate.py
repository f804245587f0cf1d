"""What every request to the viewer passes: the link's token, the limits of a form, and the headers that keep a page to
itself.

Judgments are foreign text. Beside the escaping of all of it, the content-security policy lets a page load and run
nothing but the viewer's own files and send forms to nobody else.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rmr1.server.guard import is_foreign

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_COOKIE = "rmr1_view"
_MOST_BYTES = 1 << 16
"""Bytes of a form; a note is a few lines."""
_METHODS = ("GET", "HEAD", "POST")


class Gate:
    """Wraps the application: lets in whoever has the token, as the link's parameter or as the cookie that it sets."""

    def __init__(self, app: ASGIApp, *, token: str, command: str = "rmr1 view"):
        self.app = app
        self._token = token
        self._command = command
        """What printed the link."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        answer = self._refuse(scope)
        await (answer or self.app)(scope, receive, tell)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if is_foreign(scope, headers):
            return self._say("Another site's page asks; open the viewer's own address.", 403)
        if scope["method"] not in _METHODS:
            return self._say("This is a page to be read.", 405)
        length = headers.get(b"content-length", "0" if b"transfer-encoding" not in headers else "")
        if scope["method"] == "POST" and not (length.isdecimal() and int(length) <= _MOST_BYTES):
            return self._say(
                f"A form of more than {_MOST_BYTES} bytes, or of unknown length, is not taken.", 413
            )
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(asked).get("token")
        if given is not None and self._is_known(given):
            rest = urlencode([one for one in asked if one[0] != "token"])
            answer = RedirectResponse(_own_path(scope) + (f"?{rest}" if rest else ""), status_code=303)
            port = Request(scope).url.port
            answer.set_cookie(f"{_COOKIE}_{port}", self._token, httponly=True, samesite="lax")
            return answer
        if not self._is_known(_read_cookie(headers.get(b"cookie", ""), Request(scope).url.port)):
            return self._say(
                f"Open the link that {self._command} printed; it holds the token of this page.", 401
            )
        return None

    def _say(self, text: str, status: int) -> Response:
        page = (
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{self._command}</title>'
            f'<link rel="stylesheet" href="/static/style.css"><main><h1>{self._command}</h1><p>{text}</p></main></html>'
        )
        return HTMLResponse(page, status_code=status)

    def _is_known(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())


def _own_path(scope: Scope) -> str:
    """The path asked for, which cannot name another host."""
    path: str = scope["path"]
    return "/" + path.lstrip("/\\")


def _read_cookie(header: str, port: int | None) -> str:
    try:
        found = SimpleCookie(header).get(f"{_COOKIE}_{port}")
    except CookieError:
        return ""
    return "" if found is None else str(found.value)
