# SPDX-License-Identifier: Apache-2.0
"""The page where the nodes want a token: it asks once, remembers it for the tab, and asks for the admin's to change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import running_chromium
from edge_line import Line, running_line
from nodes import running_dashboard
from playwright.sync_api import Browser, Page, expect


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(browser: Browser, toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A guarded dashboard beside open nodes."""
    line: Line
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        urls = {role: str(getattr(line, role).base_url) for role in ("edge", "channel", "cloud")}
        with running_dashboard(**urls, token="of-the-nodes", admin_token="of-the-admin") as http:
            yield str(http.base_url)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def give(page: Page, token: str) -> None:
    page.fill("#token", token)
    page.get_by_role("button", name="Use it").click()


def test_it_asks_until_the_token_does_and_then_lives(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_role("dialog")).to_contain_text("The nodes want a token")
    give(page, "wrong")
    expect(page.get_by_role("dialog")).to_contain_text("The one given does not do.")
    give(page, "of-the-nodes")
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#source")).to_contain_text("Reference")
    page.reload()
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_it_takes_the_token_from_the_address_and_hides_it(page: Page, url: str) -> None:
    page.goto(f"{url.rstrip('/')}/#token=of-the-nodes")
    expect(page.locator("#connection")).to_have_text("live")
    assert "of-the-nodes" not in page.url


def test_changing_a_link_wants_the_admin_token(page: Page, url: str) -> None:
    page.goto(f"{url.rstrip('/')}/#token=of-the-nodes")
    page.fill("#forward-ber", "0.125")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Changing this needs the admin token")
    give(page, "of-the-admin")
    expect(page.locator("#channel-status")).to_contain_text("forward: set")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_wrong_admin_token_leaves_the_right_one_of_the_nodes(page: Page, url: str) -> None:
    page.goto(f"{url.rstrip('/')}/#token=of-the-nodes")
    page.fill("#forward-ber", "0.25")
    page.keyboard.press("Enter")
    give(page, "wrong")
    expect(page.get_by_role("dialog")).to_contain_text("The one given does not do.")
    page.get_by_role("button", name="Not now").click()
    expect(page.locator("#channel-status")).to_contain_text("HTTP 401")
    page.reload()
    expect(page.locator("#connection")).to_have_text("live")


def test_whoever_declines_is_not_asked_again_and_again(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Not now").click()
    expect(page.locator("#connection")).to_contain_text("reload the page")
    for _ in range(3):
        with page.expect_response("**/v1/events"):
            pass  # it tries again, and is refused again
    expect(page.get_by_role("dialog")).to_have_count(0)
