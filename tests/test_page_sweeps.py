# SPDX-License-Identifier: Apache-2.0
"""Sweeps on the page: started from a form, drawn while they run, stopped, taken up again, saved."""

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import numpy as np
import pytest
from browser import Tab, opened, running_chromium
from nodes import three_nodes, until
from page_pictures import run_a_sweep, send_a_rocket, take
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from toy_cifar import write_toy_test_set

from cli.processes import Nodes, Ports
from service.wire import SweepReport

IMAGES = 96  # two units at each point


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images and the store of sweeps are."""
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture(scope="module")
def nodes(browser: Browser, toy_folder: Path, folder: Path) -> Iterator[Nodes]:
    write_toy_test_set(folder / "data", IMAGES)
    dashboard = {
        "SPIKELINK_DATA": str(folder / "data"),
        "SPIKELINK_SWEEP_STORE": f"sqlite://{folder / 'sweeps.sqlite3'}",
    }
    environment = {"cloud": {"SPIKELINK_STORE": "memory://"}, "dashboard": dashboard}
    with three_nodes(toy_folder, environment, Ports(0, 0, 0, 0)) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def tab(browser: Browser, nodes: Nodes) -> Iterator[Tab]:
    with opened(browser, nodes.urls["dashboard"]) as tab:
        yield tab


@pytest.fixture
def page(tab: Tab, nodes: Nodes) -> Iterator[Page]:
    if tab.page.locator("#sweep-new[open]").count() == 0:
        tab.page.get_by_text("A new sweep", exact=True).click()
    yield tab.page
    set_latency(nodes, 0)
    tab.check(nodes.urls["dashboard"])


def start(page: Page, name: str, *, bers: str = "0, 0.2", count: int = IMAGES) -> Locator:
    """Start a sweep of two systems -> its row in the table."""
    page.check("#sweep-of-multi-rate")
    page.fill("#sweep-of-multi-rate-settings", "4")
    page.fill("#sweep-of-snn-sc-harq-settings", "0.5, 1")
    page.fill("#sweep-bers", bers)
    page.fill("#sweep-count", str(count))
    page.fill("#sweep-name", name)
    page.click("#sweep-start")
    return page.locator(".sweeps tr", has_text=name)


def labels(page: Page, name: str) -> list[str]:
    return page.locator("#legend label", has_text=f"sweep {name}").all_inner_texts()


def set_latency(nodes: Nodes, latency_ms: float) -> None:
    path = f"{nodes.urls['channel']}/v1/links/forward"
    httpx2.patch(path, json={"latency_ms": latency_ms}, timeout=60).raise_for_status()


def test_a_small_sweep_becomes_curves(page: Page, nodes: Nodes) -> None:
    row = start(page, "small")
    expect(row).to_have_attribute("data-state", "complete")
    expect(page.locator("#legend label", has_text="sweep small")).to_have_count(3)
    assert len(set(labels(page, "small"))) == 3
    found = httpx2.get(f"{nodes.urls['dashboard']}/v1/sweeps/{row.get_attribute('data-sweep')}", timeout=60).json()
    assert len(found["points"]) == 6
    assert {point["images"] for point in found["points"]} == {IMAGES}
    readout = page.locator("#readout")
    slider = page.get_by_role("slider", name="Read the curves at a bit error rate")
    slider.focus()
    page.keyboard.press("Home")
    for point in found["points"]:
        if point["ber"] == 0:
            expect(readout).to_contain_text(f"{point['accuracy']:.2f} %")
    expect(readout).to_contain_text("2,048 bits")


def test_points_appear_while_it_runs_and_cancelling_stops_it(page: Page, nodes: Nodes) -> None:
    set_latency(nodes, 700)
    row = start(page, "slow", bers="0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3")
    expect(page.locator("#legend label", has_text="sweep slow").first).to_be_visible()
    expect(row).to_have_attribute("data-state", "running")
    speed = re.compile(r"\d images/s · \d+ (s|min) left")
    expect(row).to_contain_text(speed)
    row.get_by_role("button", name="Cancel sweep slow").click()
    expect(row).to_have_attribute("data-state", "cancelled")
    expect(row).not_to_contain_text("images/s")
    done = re.search(r"(\d+) of (\d+) units", row.inner_text())
    assert done is not None
    assert int(done[1]) < int(done[2])
    set_latency(nodes, 0)
    row.get_by_role("button", name="Resume sweep slow").click()
    expect(row).to_have_attribute("data-state", "complete")


def test_a_sweep_is_shown_hidden_and_saved(page: Page) -> None:
    row = start(page, "kept", bers="0.1")
    expect(row).to_have_attribute("data-state", "complete")
    shown = row.get_by_role("checkbox")
    expect(shown).to_be_checked()
    shown.uncheck()
    expect(page.locator("#legend label", has_text="sweep kept")).to_have_count(0)
    shown.check()
    expect(page.locator("#legend label", has_text="sweep kept")).to_have_count(3)
    with page.expect_download() as started:
        row.get_by_role("button", name="as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    assert [row["system"] for row in rows].count("snn-sc-harq") == 2
    with page.expect_download() as started:
        row.get_by_role("button", name="as JSON").click()
    assert json.loads(Path(started.value.path()).read_text())["name"] == "kept"
    with page.expect_download() as started:
        page.get_by_role("button", name="Save all that is shown as CSV").click()
    drawn = csv.DictReader(io.StringIO(Path(started.value.path()).read_text()))
    origins = ("seeds", "profile", "weights_sha256", "version")
    of_sweep = [[each[name] for name in origins] for each in drawn if each["source"].startswith("sweep kept")]
    assert of_sweep == [[rows[0][name] for name in origins]] * 3, "as the sweep's own file has it"


def test_two_sweeps_of_one_name_are_two_lines(page: Page) -> None:
    for count in (16, 32):
        row = start(page, "twice", bers="0.1", count=count).first  # the newest stands first
        expect(row).to_contain_text(f"{count} \N{MULTIPLICATION SIGN} 1 seed")
        expect(row).to_have_attribute("data-state", "complete")
    expect(page.locator("#legend label", has_text="sweep twice")).to_have_count(6)
    page.locator(".sweeps tr", has_text="twice").first.get_by_role("checkbox").uncheck()
    expect(page.locator("#legend label", has_text="sweep twice")).to_have_count(3)


def test_what_cannot_be_measured_is_said_in_words(page: Page) -> None:
    status = page.locator("#sweep-status")
    start(page, "refused", bers="0, x")
    expect(status).to_have_text("BERs: x is no number.")
    start(page, "refused", bers="")
    expect(status).to_have_text("BERs: at least one is needed.")
    start(page, "refused", bers="0.7")
    expect(status).to_contain_text("HTTP 422")
    start(page, "refused", count=IMAGES + 1)
    expect(status).to_contain_text(f"{IMAGES} images")
    expect(page.locator(".sweeps tr", has_text="refused")).to_have_count(0)


def test_a_new_page_finds_what_was_measured(page: Page, browser: Browser, nodes: Nodes) -> None:
    row = start(page, "found again", bers="0.3")
    expect(row).to_have_attribute("data-state", "complete")
    with opened(browser, nodes.urls["dashboard"]) as other:
        found = other.page.locator(".sweeps tr", has_text="found again")
        expect(found).to_have_attribute("data-state", "complete")
        found.get_by_role("checkbox").check()
        expect(other.page.locator("#legend label", has_text="sweep found again")).to_have_count(3)
        other.check(nodes.urls["dashboard"])


def drawn(page: Page, name: str) -> set[tuple[str, float, int, float, float]]:
    """What the charts show of a sweep, as the page saves it: series, BER, images, accuracy in percent, bits."""
    with page.expect_download() as started:
        page.get_by_role("button", name="Save all that is shown as CSV").click()
    rows = csv.DictReader(io.StringIO(Path(started.value.path()).read_text()))
    return {
        (row["series"], float(row["ber"]), int(row["images"]), float(row["accuracy"]), float(row["bandwidth_bits"]))
        for row in rows
        if row["source"].startswith(f"sweep {name} ")
    }


def finish_elsewhere(name: str, nodes: Nodes, folder: Path, weights: Path) -> None:
    """Go on with a sweep of the dashboard's store, as a user does on the command line."""
    command = [sys.executable, "-P", "-m", "cli", "sweep", "resume", name, "--engine", "http"]
    places = {"--store": f"sqlite://{folder / 'sweeps.sqlite3'}", "--edge": nodes.urls["edge"],
              "--data": str(folder / "data"), "--weights": str(weights)}  # fmt: skip  # two lines are enough
    options = [each for pair in places.items() for each in pair]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr


def test_what_happened_without_the_dashboard_is_seen_when_it_is_back(
    page: Page, nodes: Nodes, folder: Path, toy_folder: Path
) -> None:
    removed = start(page, "removed", bers="0.1", count=16)
    expect(removed).to_have_attribute("data-state", "complete")
    set_latency(nodes, 1500)
    # BERs that no other test has: what is in the store is not measured again, and nothing would be left to do.
    row = start(page, "unwatched", bers="0.01, 0.04, 0.08, 0.12, 0.16, 0.24, 0.28")
    expect(page.locator("#legend label", has_text="sweep unwatched").first).to_be_visible()
    nodes.kill("dashboard")
    try:
        expect(row).to_have_attribute("data-state", "running")
        before = drawn(page, "unwatched")
        set_latency(nodes, 0)
        finish_elsewhere(row.get_attribute("data-sweep") or "", nodes, folder, toy_folder)
        with closing(sqlite3.connect(folder / "sweeps.sqlite3")) as database, database:
            database.execute("DELETE FROM sweeps WHERE id = ?", (removed.get_attribute("data-sweep"),))
    finally:
        nodes.start("dashboard")
    expect(row).to_have_attribute("data-state", "complete")
    path = f"{nodes.urls['dashboard']}/v1/sweeps/{row.get_attribute('data-sweep')}"
    report = SweepReport.model_validate_json(httpx2.get(path, timeout=60).raise_for_status().content)
    wanted = {(each.series, each.ber, each.images, each.accuracy, each.bandwidth_bits) for each in report.points}
    assert len(wanted) == 21
    assert before != wanted, "nothing was left to do"
    until(lambda: drawn(page, "unwatched") == wanted, "the points that were measured meanwhile")
    expect(page.locator("#sweep-status")).to_have_text("")
    expect(page.locator(".sweeps tr", has_text="removed")).to_have_count(0)
    expect(page.locator("#legend label", has_text="sweep removed")).to_have_count(0)


def test_a_dashboard_that_cannot_be_asked_at_once_is_asked_again(page: Page, nodes: Nodes) -> None:
    """After a restart every look at the list fails for a while; the page says so, stays live, and catches up."""
    row = start(page, "asked again", bers="0.02", count=16)
    expect(row).to_have_attribute("data-state", "complete")
    wanted = drawn(page, "asked again")
    assert len(wanted) == 3
    page.route("**/v1/sweeps", lambda route: route.abort("connectionrefused"))
    try:
        nodes.kill("dashboard")
        nodes.start("dashboard")
        expect(page.locator("#sweep-status")).to_contain_text("Sweeps may be out of date; trying again.")
        with page.expect_request("**/v1/sweeps"):
            """It asks again."""
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    finally:
        page.unroute("**/v1/sweeps")
    expect(page.locator("#sweep-status")).to_have_text("")
    assert drawn(page, "asked again") == wanted


def test_the_picture_of_the_docs_can_be_taken(page: Page, nodes: Nodes, tmp_path: Path) -> None:
    """An image's ladder, and a sweep while it runs, all of whose controls are in sight."""
    set_latency(nodes, 700)
    page.get_by_text("A new sweep", exact=True).click()  # it is open, and the picture is taken from the start
    send_a_rocket(page)
    run_a_sweep(page, images=IMAGES, units=2)
    take(page, tmp_path / "page.png")
    table = page.locator("#sweeps .scroll")
    assert table.evaluate("(each) => each.scrollWidth - each.clientWidth") == 0
    with Image.open(tmp_path / "page.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] == 1440
    for colour in ((0, 114, 178), (213, 94, 0), (255, 255, 255)):
        assert (pixels == colour).all(axis=2).sum() > 200, colour
