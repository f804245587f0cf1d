"""The viewer over some runs, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from rmr1.viewer.app import make_app
from rmr1.viewer.runs import Runs

TOKEN = "the-token"
URL = "http://127.0.0.1:8400"


class Browser:
    """Asks the application as a browser on this machine does, and keeps its cookies."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request; redirects are not followed."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=True, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url=URL, cookies=self.cookies) as client:
                answer = await client.request(method, path, **more)
            self.cookies.update(answer.cookies)
            return answer

        return asyncio.run(send())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)


@contextmanager
def viewing(*folders: Path, is_known: bool = True) -> Iterator[Browser]:
    """A browser at the viewer of these runs, which are indexed; it has opened the link unless told otherwise."""
    with Runs(list(folders)) as runs:
        for one in runs.judged:
            assert one.index is not None
            one.index.refresh()
        browser = Browser(make_app(runs, token=TOKEN))
        if is_known:
            assert browser.get(f"/?token={TOKEN}").status_code == 303
        yield browser
