"""Real Chromium, without a window and without a network beyond this machine (`make test-browser`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """The browser: RMR1_CHROMIUM, else the first of the usual names on the path."""
    return os.environ.get("RMR1_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser that resolves no name but this machine's."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; see make test-browser"
    )
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine (apt install chromium, or RMR1_CHROMIUM)")
    options = [
        "--no-sandbox",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=options)
        yield opened
        opened.close()


def list_violations(page: Any) -> list[str]:
    """What axe-core finds that is serious or critical, one line each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
