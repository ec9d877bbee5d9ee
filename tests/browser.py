# SPDX-License-Identifier: Apache-2.0
"""A real Chromium for the tests of the page: Debian's, driven by Playwright, which downloads none of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # small in containers, and the browser dies when it is full
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: What a browser says of a server that is not there, and of one that refuses; the tests that bring it about expect it.
CUT: Final = (
    "ERR_CONNECTION_REFUSED",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",
    "status of 422",
)
_PATIENCE_MS: Final = 90_000
expect.set_options(timeout=_PATIENCE_MS)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """The browser; where there is none the test is skipped, or fails under SPIKELINK_REQUIRE_BROWSER=1."""
    executable = shutil.which("chromium")
    if executable is None:
        missing = "there is no Chromium: apt-get install chromium"
        (pytest.fail if os.environ.get("SPIKELINK_REQUIRE_BROWSER") == "1" else pytest.skip)(missing)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page, and all that a user should never see in its console. One serves many tests: opening costs seconds."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    def check(self, url: str) -> None:
        """Fails the test for any complaint of the console but of such servers; forgets them."""
        complaints = [text for text in self.complaints if not any(reason in text for reason in CUT)]
        self.complaints.clear()
        assert complaints == []
        assert self.origins <= {url.rstrip("/")}, "the page needs nothing from elsewhere"

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Tab]:
    """The page at a URL, ready."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    tab = Tab(context.new_page())
    tab.page.on("console", tab._heard)
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("request", lambda request: tab.origins.add("/".join(request.url.split("/")[:3])))
    try:
        tab.page.goto(url)
        tab.page.wait_for_selector('.card[data-role="cloud"]')
        tab.page.wait_for_selector("#bandwidth .line")
        tab.page.wait_for_selector("#forward-ber")
        yield tab
    finally:
        context.close()
