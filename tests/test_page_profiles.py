# SPDX-License-Identifier: Apache-2.0
"""The page before nodes that serve two profiles: one is chosen, and what it serves is offered."""

import re
from collections.abc import Iterator

import pytest
from browser import opened, running_chromium
from nodes import three_nodes
from playwright.sync_api import Page, expect
from toy import toy_weights
from toy_cifar import write_toy_test_set

from cli.processes import Ports
from models.profiles import PROFILES

NAMES = ("resnet18", "resnet18-t1")
IMAGES = 8


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("weights")
    for name in NAMES:
        toy_weights(folder, name)
    write_toy_test_set(folder / "data", IMAGES)
    store = f"sqlite://{folder / 'sweeps.sqlite3'}"
    dashboard = {"SPIKELINK_DATA": str(folder / "data"), "SPIKELINK_SWEEP_STORE": store}
    environment = {"cloud": {"SPIKELINK_STORE": "memory://"}, "dashboard": dashboard}
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


@pytest.mark.parametrize("name", NAMES[::-1])
def test_a_sweep_goes_by_the_profile_that_is_chosen(page: Page, name: str) -> None:
    """At the least of its rates it sends as many bits as that profile begins with."""
    if page.locator("#sweep-new[open]").count() == 0:
        page.get_by_text("A new sweep", exact=True).click()
    expect(page.locator("#sweep-profile option")).to_have_text(list(NAMES))
    page.select_option("#sweep-profile", name)
    t0, most = PROFILES[name].t0, PROFILES[name].max_steps
    expect(page.locator("#sweep-of-multi-rate-settings")).to_have_value(f"{t0}, {most}")
    page.uncheck("#sweep-of-snn-sc-harq")
    page.check("#sweep-of-multi-rate")
    page.fill("#sweep-bers", "0")
    page.fill("#sweep-count", str(IMAGES))
    page.fill("#sweep-name", f"from {t0} on")
    page.click("#sweep-start")
    row = page.locator(".sweeps tr", has_text=f"from {t0} on")
    expect(row).to_have_attribute("data-state", "complete")
    expect(row.locator("th")).to_have_attribute("title", re.compile(f"^{name}, weights [0-9a-f]{{12}}, "))
    page.get_by_role("slider", name="Read the curves at a bit error rate").focus()
    page.keyboard.press("Home")
    lines = page.locator("#readout tr", has_text=f"from {t0} on")
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text(f"{512 * t0:,} bits")
