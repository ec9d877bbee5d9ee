# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium before real nodes: an image and its ladder, the channel, nodes that come and go."""

import base64
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx2
import pytest
from browser import Tab, opened, running_chromium
from edge_line import IMAGE, PNG
from nodes import three_nodes
from playwright.sync_api import Browser, Page, expect

from channel.bsc import feedback_flipped
from channel.transmission import CHANNELS, DEFAULT_CHANNEL
from cli.processes import Nodes, Ports
from models.systems import SYSTEMS
from service.wire import Classification

DROP = """([bytes, name, type]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type }));
    const drop = document.querySelector(".drop");
    for (const kind of ["dragenter", "dragover", "drop"]) {
        drop.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def nodes(browser: Browser, toy_folder: Path) -> Iterator[Nodes]:
    """All four as processes, with the weights of the toy."""
    with three_nodes(toy_folder, {"cloud": {"SPIKELINK_STORE": "memory://"}}, Ports(0, 0, 0, 0)) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def tab(browser: Browser, nodes: Nodes) -> Iterator[Tab]:
    with opened(browser, nodes.urls["dashboard"]) as tab:
        yield tab


@pytest.fixture
def page(tab: Tab, nodes: Nodes) -> Iterator[Page]:
    """The page as it is at first, but for what it has shown before."""
    tab.page.select_option("#system", "snn-sc-harq")
    fill(tab.page)
    yield tab.page
    tab.check(nodes.urls["dashboard"])
    httpx2.post(f"{nodes.urls['channel']}/v1/reset", timeout=60).raise_for_status()
    expect(tab.page.locator("#forward-ber")).to_have_value("0")
    expect(tab.page.locator("#forward-latency_ms")).to_have_value("0")


def drop(page: Page, content: bytes = IMAGE, name: str = "dropped.png", media_type: str = "image/png") -> None:
    page.evaluate(DROP, [base64.b64encode(content).decode(), name, media_type])


def fill(page: Page, **terms: object) -> None:
    """Set these terms, and leave the others to the nodes."""
    for name in ("ber", "seed", "threshold"):
        if page.locator(f"#{name}").is_visible():
            page.fill(f"#{name}", str(terms.get(name, "")))


def flips(page: Page) -> list[int]:
    """The flipped bits of each round, as a screen reader is told."""
    found = [re.search(r"sent, ([\d,]+) flipped", text) for text in page.locator("#ladder li").all_inner_texts()]
    return [int(match[1].replace(",", "")) for match in found if match]


def test_a_dropped_image_is_drawn_as_the_edge_reports_it(page: Page, nodes: Nodes) -> None:
    fill(page, ber=0.2, seed=5, threshold=1)
    drop(page)
    expect(page.locator(".verdict")).to_be_visible()
    query = {"ber": "0.2", "seed": "5", "threshold": "1"}
    reply = httpx2.post(f"{nodes.urls['edge']}/v1/classify", params=query, content=IMAGE, headers=PNG, timeout=90)
    wanted = Classification.model_validate_json(reply.content)
    assert flips(page) == [entry.flipped_bits for entry in wanted.rounds]
    assert page.locator(".round").count() == len(wanted.rounds) == 5
    drawn = page.locator(".round").first.text_content() or ""
    assert f"{wanted.rounds[0].payload_bits:,} bits" in drawn
    assert f"sim {wanted.rounds[0].similarity:.3f} ≤ θ 1.000" in drawn
    assert "NACK" in drawn
    assert "ACK (last round)" in (page.locator(".round").last.text_content() or "")
    rows = [row.split() for row in page.locator(".top tr").all_inner_texts()]
    assert [row[0] for row in rows] == [entry.label for entry in wanted.top]
    expect(page.locator(".verdict")).to_contain_text("4,128 bits in 5 rounds")


@pytest.mark.parametrize(
    ("system", "turned", "drawn"),
    [
        ("snn-sc-harq", [8], ["NACK"] * 4 + ["NACK (inverted)"]),
        ("snn-sc-harq", [5], ["NACK", "ACK (inverted)"]),
        ("multi-rate", [4], ["NACK (inverted)"]),
    ],
)
def test_inverted_feedback_is_drawn_as_such(
    page: Page, nodes: Nodes, system: str, turned: list[int], drawn: list[str]
) -> None:
    """Whatever the score: in the last round, and where nothing is judged, it says nothing of the feedback."""
    seed = next(s for s in count() if [t for t in range(4, 9) if feedback_flipped(0.5, seed=s, block=0, t=t)] == turned)
    page.select_option("#system", system)
    fill(page, ber=0.2, seed=seed, threshold=1)
    httpx2.patch(f"{nodes.urls['channel']}/v1/links/feedback", json={"ber": 0.5}, timeout=60).raise_for_status()
    drop(page)
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator(".round")).to_have_count(len(drawn))
    assert page.locator(".round > .arrow:nth-of-type(4)").all_text_contents() == drawn
    told = page.locator("#ladder li").all_inner_texts()
    assert all(f"; {heard} after " in text for heard, text in zip(drawn, told, strict=True))


def test_rounds_are_drawn_while_they_happen(page: Page) -> None:
    page.fill("#forward-latency_ms", "1500")
    page.keyboard.press("Tab")
    expect(page.locator("#channel-status")).to_contain_text("revision")
    fill(page, ber=0.2, seed=5, threshold=1)
    drop(page)
    expect(page.locator(".round").first).to_be_visible()
    assert page.locator(".verdict").count() == 0
    expect(page.locator(".round")).to_have_count(5)
    expect(page.locator(".verdict")).to_be_visible()


def test_stop_ends_it_at_once(page: Page) -> None:
    page.fill("#forward-latency_ms", "20000")
    page.keyboard.press("Tab")
    expect(page.locator("#channel-status")).to_contain_text("revision")
    drop(page)
    page.click("#stop")
    expect(page.locator("#trouble")).to_have_text("Stopped.")
    expect(page.locator("#send")).to_have_text("Send again")


def test_a_changed_ber_flips_the_next_frame(page: Page) -> None:
    fill(page, seed=5, threshold=1)
    drop(page)
    expect(page.locator(".verdict")).to_be_visible()
    assert flips(page) == [0] * 5
    page.fill("#forward-ber", "0.3")
    page.keyboard.press("Enter")
    expect(page.locator("#channel-status")).to_contain_text("forward: set")
    page.click("#send")
    expect(page.locator("#ladder li")).to_have_count(5)
    assert sum(flips(page)) / 4128 == pytest.approx(0.3, abs=0.05)
    expect(page.locator(".link").first).to_contain_text("over 4,128 bits")


def test_a_change_made_elsewhere_shows_here(page: Page, nodes: Nodes) -> None:
    httpx2.patch(f"{nodes.urls['channel']}/v1/links/feedback", json={"ber": 0.125}, timeout=60)
    expect(page.locator("#feedback-ber")).to_have_value("0.125")
    page.click("#reset")
    expect(page.locator("#feedback-ber")).to_have_value("0")


def test_systems_and_channel_models_are_what_the_nodes_say(page: Page) -> None:
    """So that one's own are offered, too."""
    assert page.locator("#system option").evaluate_all("(all) => all.map((each) => each.value)") == list(SYSTEMS)
    for name, system in SYSTEMS.items():
        page.select_option("#system", name)
        expect(page.locator("#system-hint")).to_have_text(system.summary)
        expect(page.locator("#t")).to_be_visible(visible=system.takes_t)
        expect(page.locator("#threshold")).to_be_visible(visible=system.takes_threshold)
        expect(page.locator("#ber")).to_be_enabled(enabled=not system.error_free)
    expect(page.locator("#forward-model option")).to_have_text(list(CHANNELS))
    for name in reversed(CHANNELS):
        page.select_option("#forward-model", name)
        expect(page.locator("#forward-model-hint")).to_have_text(CHANNELS[name].summary)
    expect(page.locator("#feedback-model option")).to_have_text([DEFAULT_CHANNEL])
    expect(page.locator("#feedback-model")).to_be_disabled()


@pytest.mark.parametrize("chosen", ["multi-rate", "snn-sc-margin-harq", "bypass"])
def test_each_system_is_asked_for_what_it_takes(page: Page, chosen: str) -> None:
    page.select_option("#system", chosen)
    expect(page.locator("#t")).to_be_visible(visible=chosen == "multi-rate")
    expect(page.locator("#threshold")).to_be_visible(visible=chosen == "snn-sc-margin-harq")
    drop(page)
    expect(page.locator(".verdict")).to_be_visible()


def test_what_is_wrong_is_said_in_words(page: Page) -> None:
    drop(page, b"GIF89a", "moving.gif", "image/gif")
    expect(page.locator("#trouble")).to_contain_text("moving.gif is no PNG, JPEG or WebP image.")
    drop(page, b"nothing of the kind", "broken.png")
    expect(page.locator("#trouble")).to_contain_text("broken.png cannot be read as an image.")
    fill(page, ber=0.7)
    drop(page)
    expect(page.locator("#trouble")).to_contain_text("BER")
    assert page.locator(".round").count() == 0


def test_a_node_that_dies_and_comes_back(page: Page, nodes: Nodes) -> None:
    """The channel, which starts fastest; without it the edge is not ready."""
    card = {role: page.locator(f'.card[data-role="{role}"]') for role in ("edge", "channel")}
    expect(card["channel"]).to_have_attribute("data-health", "ready")
    nodes.kill("channel")
    try:
        expect(card["channel"]).to_have_attribute("data-health", "down")
        expect(card["channel"]).to_contain_text("cannot be reached")
        expect(card["edge"]).to_have_attribute("data-health", "not ready")
        expect(page.locator("#forward-ber")).to_be_disabled()
    finally:
        nodes.start("channel")
    expect(card["channel"]).to_have_attribute("data-health", "ready")
    expect(card["channel"]).to_contain_text(str(nodes.pids["channel"]))
    drop(page)
    expect(page.locator(".verdict")).to_be_visible()


def test_the_dashboard_is_cut_and_the_page_recovers(page: Page, nodes: Nodes) -> None:
    expect(page.locator("#connection")).to_have_text("live")
    nodes.kill("dashboard")
    try:
        expect(page.locator("#connection")).to_contain_text("connection lost")
        assert {card.get_attribute("data-health") for card in page.locator(".card").all()} == {"unknown"}
        drop(page)
        expect(page.locator("#trouble")).to_contain_text("The dashboard does not answer")
    finally:
        nodes.start("dashboard")
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator('.card[data-role="dashboard"]')).to_contain_text(str(nodes.pids["dashboard"]))
    expect(page.locator(".card")).to_have_count(4)
    expect(page.locator('.card[data-health="ready"]')).to_have_count(4)
    page.click("#send")
    expect(page.locator(".verdict")).to_be_visible()
