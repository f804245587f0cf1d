"""A real Chromium that reaches nothing but this machine; these tests run by `make test-browser` alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser of RMR1_CHROMIUM, or the one that is installed."""
    if os.environ.get("RMR1_BROWSER") != "1":
        pytest.skip("in a real browser; see `make test-browser`")
    from playwright.sync_api import sync_playwright

    path = os.environ.get("RMR1_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert path is not None, (
        "no Chromium; install one (apt install chromium), or set RMR1_CHROMIUM to its path"
    )
    offline = [
        "--no-sandbox",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=offline)
        yield found
        found.close()


def list_violations(page: Any, least: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """What axe-core finds that is so bad, one line each."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in least
        for node in one["nodes"]
    ]
