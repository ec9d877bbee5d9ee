# SPDX-License-Identifier: Apache-2.0
"""The page before nodes with systems that it has never heard of: one at a fixed rate, one with a threshold."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import opened, running_chromium
from edge_line import running_line
from nodes import running_dashboard
from playwright.sync_api import Page, expect
from toy_cifar import write_toy_test_set

from models.systems import SYSTEMS
from models.weights import MANIFEST

OWN = {
    "own-rate": replace(SYSTEMS["multi-rate"], name="own-rate", summary="so many steps at once"),
    "own-harq": replace(SYSTEMS["snn-sc-margin-harq"], name="own-harq", summary="stops as it likes"),
}
IMAGES = 8


@pytest.fixture(scope="module")
def weights(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a threshold for the one that takes one."""
    folder = tmp_path_factory.mktemp("own") / "weights"
    shutil.copytree(toy_folder, folder)
    path = folder / "resnet18" / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "thresholds": {**manifest["thresholds"], "own-harq": 0.25}}))
    return folder


@pytest.fixture(scope="module")
def page(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    data = tmp_path_factory.mktemp("data")
    write_toy_test_set(data, IMAGES)
    with (
        pytest.MonkeyPatch.context() as patch,
        running_chromium() as browser,
        running_line(weights, tmp_path_factory.mktemp("store")) as line,
    ):
        for name, system in OWN.items():
            patch.setitem(SYSTEMS, name, system)
        urls = {role: str(getattr(line, role).base_url) for role in ("edge", "channel", "cloud")}
        with (
            running_dashboard(**urls, weights=weights, data=data) as dashboard,
            opened(browser, str(dashboard.base_url)) as tab,
        ):
            yield tab.page
            tab.check(str(dashboard.base_url))


def test_they_are_offered_last_in_the_words_of_the_nodes(page: Page) -> None:
    expect(page.locator("#system option").last).to_have_text("own-harq")
    for name, system in OWN.items():
        page.select_option("#system", name)
        expect(page.locator("#system-hint")).to_have_text(system.summary)
        expect(page.locator("#t")).to_be_visible(visible=name == "own-rate")
        expect(page.locator("#threshold")).to_be_visible(visible=name == "own-harq")


def test_an_image_is_sent_at_the_rate_that_is_chosen(page: Page) -> None:
    page.select_option("#system", "own-rate")
    expect(page.locator("#t-hint")).to_have_text("steps, 4 to 8")
    page.fill("#t", "5")
    page.get_by_alt_text("a rocket").click()
    expect(page.locator("#ladder li")).to_have_count(1)
    expect(page.locator("#ladder li")).to_contain_text("2,560 bits sent")


def test_an_image_is_sent_with_the_threshold_that_is_given(page: Page) -> None:
    page.select_option("#system", "own-harq")
    expect(page.locator("#threshold")).to_have_attribute("placeholder", "0.25, the profile's")
    page.fill("#threshold", "1")
    page.get_by_alt_text("a rocket").click()
    expect(page.locator("#ladder li")).to_have_count(5)


def test_a_sweep_measures_them(page: Page) -> None:
    page.get_by_text("A new sweep", exact=True).click()
    page.uncheck("#sweep-of-snn-sc-harq")
    for name, settings in {"own-rate": "4, 8", "own-harq": "0.1"}.items():
        page.check(f"#sweep-of-{name}")
        page.fill(f"#sweep-of-{name}-settings", settings)
    for name, value in {"bers": "0", "count": str(IMAGES), "name": "own"}.items():
        page.fill(f"#sweep-{name}", value)
    page.click("#sweep-start")
    expect(page.locator(".sweeps tr", has_text="own")).to_have_attribute("data-state", "complete")
    drawn = page.locator("#legend label", has_text="sweep own").all_inner_texts()
    labels = [text.strip().partition(", sweep")[0] for text in drawn]
    assert labels == ["own-rate, t = 4", "own-rate, t = 8", "own-harq, \u03b8 0.1"]
