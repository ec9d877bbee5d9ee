# SPDX-License-Identifier: Apache-2.0
"""The page before nodes that serve two profiles: one is chosen, and what it serves is offered."""

from collections.abc import Iterator

import pytest
from browser import opened, running_chromium
from nodes import three_nodes
from playwright.sync_api import Page, expect
from toy import toy_weights

from cli.processes import Ports
from models.profiles import PROFILES

NAMES = ("resnet18", "resnet18-t1")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("weights")
    for name in NAMES:
        toy_weights(folder, name)
    environment = {"cloud": {"SPIKELINK_STORE": "memory://"}}
    with (
        running_chromium() as browser,
        three_nodes(folder, environment, Ports(0, 0, 0, 0)) as nodes,
        opened(browser, nodes.urls["dashboard"]) as tab,
    ):
        yield tab.page
        tab.check(nodes.urls["dashboard"])


@pytest.mark.parametrize("name", NAMES[::-1])
def test_an_image_goes_by_the_profile_that_is_chosen(page: Page, name: str) -> None:
    """Its first round has the time steps with which that profile begins."""
    expect(page.locator("#profile option")).to_have_text(list(NAMES))
    page.select_option("#profile", name)
    page.select_option("#system", "multi-rate")
    t0, most = PROFILES[name].t0, PROFILES[name].max_steps
    expect(page.locator("#t-hint")).to_have_text(f"time steps, {t0} to {most}")
    page.fill("#t", str(t0))
    page.get_by_alt_text("a rocket").click()
    expect(page.locator("#ladder li")).to_have_count(1)
    expect(page.locator("#ladder li")).to_contain_text(f"{512 * t0:,} bits sent")
