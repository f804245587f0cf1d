"""A real Chromium that reaches nothing but this machine; without it these tests are skipped, and fail if CI=true."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of RMR1_CHROMIUM, or the one that is installed."""
    path = os.environ.get("RMR1_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        leave("no playwright; pip install playwright axe-playwright-python")
    if path is None:
        leave("no Chromium; install one, or set RMR1_CHROMIUM to its path")
    offline = [
        "--no-sandbox",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=offline)
        yield found
        found.close()


def leave(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
