# SPDX-License-Identifier: Apache-2.0
"""The page as it is read: by keyboard and screen reader, in light and dark, on any width, and as files."""

import csv
import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Tab, opened, running_chromium
from nodes import NOWHERE, running_channel, running_dashboard
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from service.nodes.dashboard.reference import read_reference

NAMELESS = """() => [...document.querySelectorAll("input, select, button, [role=slider], summary")].filter((each) =>
    !each.labels?.length && !each.getAttribute("aria-label") && !each.textContent.trim()
    && !each.querySelector("img[alt]")).map((each) => each.outerHTML)"""
SVG = "{http://www.w3.org/2000/svg}"
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(browser: Browser) -> Iterator[str]:
    """A dashboard beside a channel; edge and cloud are down, which the curves do not mind."""
    with (
        running_channel(NOWHERE) as channel,
        running_dashboard(edge=NOWHERE, cloud=NOWHERE, channel=str(channel.base_url)) as http,
    ):
        yield str(http.base_url)


@pytest.fixture(scope="module")
def tab(browser: Browser, url: str) -> Iterator[Tab]:
    with opened(browser, url) as tab:
        yield tab


@pytest.fixture
def page(tab: Tab, url: str) -> Iterator[Page]:
    yield tab.page
    tab.check(url)
    tab.page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    tab.page.set_viewport_size({"width": 1280, "height": 900})


def test_curves_are_read_by_keyboard(page: Page) -> None:
    slider = page.get_by_role("slider", name="Read the curves at a bit error rate")
    slider.focus()
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuenow") == "0.3"
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuenow") == "0.25"
    (results,) = read_reference()
    at = next(point for point in results.points if point.system == "snn-sc-harq" and point.ber == 0.25)
    words = f"SNN-SC-HARQ (the paper's), θ {at.theta}: {at.bandwidth_bits:,.0f} bits, {at.accuracy:.2f} %"
    assert words in (slider.get_attribute("aria-valuetext") or "")
    expect(page.locator("#readout caption")).to_have_text("At a BER of 0.25")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuenow") == "0"


def test_curves_are_read_by_pointer(page: Page) -> None:
    box = page.locator("#accuracy").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 100)
    expect(page.locator("#readout caption")).to_have_text("At a BER of 0.3")
    assert page.locator("#bandwidth .rule circle").count() == page.locator("#accuracy .rule circle").count() == 4


def test_the_least_and_the_most_bits_are_marked_where_they_are(page: Page) -> None:
    """At the heights that the axis gives them: 2,080 = 32 + 4 x 512 bits, and 4,128 = 32 + 8 x 512."""
    ticks = page.locator("#bandwidth .axis").nth(1).locator(".tick").evaluate_all(
        "(all) => all.map((each) => [each.textContent, each.transform.baseVal[0].matrix.f])"
    )  # fmt: skip  # one chain
    (low, low_y), (high, high_y) = [(float(re.sub(r"\D", "", text)), y) for text, y in (ticks[0], ticks[-1])]
    marks = page.locator("#bandwidth .limit").evaluate_all(
        "(all) => all.map((each) => [each.textContent, each.querySelector('line').y1.baseVal.value])"
    )
    assert len(marks) == 2
    for (text, y), bits in zip(marks, (2080, 4128), strict=True):
        assert f"{bits:,} bits" in text
        assert y == pytest.approx(low_y + (bits - low) / (high - low) * (high_y - low_y), abs=0.6)
    assert page.locator("#accuracy .limit").count() == 0


def test_every_axis_and_number_of_a_link_has_its_unit(page: Page) -> None:
    titles = [page.locator(f"#{chart} .title").text_content() for chart in ("bandwidth", "accuracy")]
    assert titles == ["mean bandwidth (bits per image)", "accuracy (%)"]
    for chart in ("bandwidth", "accuracy"):
        expect(page.locator(f"#{chart} .axis-name")).to_have_text("bit error rate (BER, errors per bit)")
    facts = page.locator("#links .link").first.locator("dl > div")
    for fact, wanted in {"now": r"[\d.]+ [kM]?bit/s", "since the start": r"[\d,]+ bits, [\d,]+ flipped"}.items():
        expect(facts.filter(has=page.get_by_text(fact, exact=True)).locator("dd")).to_have_text(re.compile(wanted))


def test_series_are_switched_by_keyboard_and_all_follows(page: Page) -> None:
    box = page.get_by_role("checkbox", name="Multi-rate, t = 4")
    box.focus()
    page.keyboard.press("Space")
    expect(page.locator("#bandwidth .line")).to_have_count(3)
    expect(page.locator("#readout tbody tr")).to_have_count(3)
    assert page.evaluate("document.activeElement.dataset.key") == box.get_attribute("data-key"), "the focus stays"
    page.keyboard.press("Space")
    expect(page.locator("#accuracy .line")).to_have_count(4)


def test_the_first_stop_skips_to_the_image_and_focus_is_visible(page: Page) -> None:
    page.locator(".skip").focus()
    assert page.evaluate("document.querySelector('a, button, input').className") == "skip", "it comes first"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_every_control_has_a_name(page: Page) -> None:
    assert page.evaluate(NAMELESS) == []
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    assert headings == ["Curves", "An image", "Sweeps", "Channel", "Nodes"]


def test_a_table_stands_behind_each_chart(page: Page) -> None:
    shown = {("snn-sc-harq", None), ("snn-sc-margin-harq", None), ("multi-rate", 4), ("multi-rate", 8)}
    points = [point for point in read_reference()[0].points if (point.system, point.t) in shown]
    first = points[0]
    for chart, wanted in (
        ("bandwidth", f"{first.bandwidth_bits:,.0f} bits"),
        ("accuracy", f"{first.accuracy:.2f} % ({first.accuracy_low:.1f} to {first.accuracy_high:.1f})"),
    ):
        table = page.locator(f'details[data-of="{chart}"]')
        table.locator("summary").click()
        assert table.locator("td").count() == len(points) == 28
        expect(table.locator("td").first).to_have_text(wanted)


def saved(page: Page, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return download.value.path().read_bytes()


def test_what_is_shown_is_saved_as_csv(page: Page) -> None:
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save all that is shown as CSV").decode())))
    (results,) = read_reference()
    points = {(point.series, point.ber): point for point in results.points}
    assert len(rows) == 28
    for row in rows:
        point = points[row["series"], float(row["ber"])]
        assert float(row["accuracy"]) == point.accuracy
        assert float(row["bandwidth_bits"]) == point.bandwidth_bits
        assert row["source"] == "reference"
        assert (row["profile"], row["weights_sha256"]) == (results.profile, results.weights_sha256)
        assert (row["seeds"], row["version"]) == (str(results.seed), results.version)
        assert row["t"] == ("" if point.t is None else str(point.t))


def shown_labels(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#legend label:has(:checked)").all_inner_texts()]


def test_a_chart_is_saved_as_svg_that_stands_alone(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    root = ElementTree.fromstring(saved(page, "Save accuracy as SVG"))
    assert root.tag == f"{SVG}svg"
    assert not [each for each in root.iter() if "class" in each.attrib or "style" in each.attrib]
    strokes = {each.get("stroke") for each in root.iter(f"{SVG}path")}
    assert {"rgb(0, 114, 178)", "rgb(213, 94, 0)"} <= strokes
    assert root.find(f"{SVG}rect[@fill='rgb(255, 255, 255)']") is not None, "files are light"
    assert "rgb(28, 33, 38)" in {each.get("fill") for each in root.iter(f"{SVG}text")}


def test_a_saved_svg_names_its_series_and_has_no_rule(page: Page) -> None:
    assert page.locator("#accuracy .rule circle").count() == 4
    root = ElementTree.fromstring(saved(page, "Save accuracy as SVG"))
    samples = {
        label.text: (line.get("stroke"), line.get("stroke-dasharray"))
        for each in root.iter(f"{SVG}g")
        if (line := each.find(f"{SVG}line")) is not None and (label := each.find(f"{SVG}text")) is not None
    }
    lines = """(all) => all.map((each) => { const style = getComputedStyle(each);
        return [style.stroke, style.strokeDasharray]; })"""
    drawn = page.locator("#accuracy .line").evaluate_all(lines)
    labels = shown_labels(page)
    assert len(labels) == 4
    assert [samples.get(label) for label in labels] == [tuple(each) for each in drawn]
    assert list(root.iter(f"{SVG}circle")) == [], "they mark where somebody reads the page"


def test_a_chart_is_saved_as_png_with_the_same_colours_and_its_legend(page: Page) -> None:
    image = Image.open(io.BytesIO(saved(page, "Save mean bandwidth as PNG"))).convert("RGB")
    drawn = page.locator("#bandwidth").bounding_box()
    assert drawn is not None
    assert image.width == 2 * round(drawn["width"])
    pixels = np.asarray(image)
    for colour in ((0, 114, 178), (213, 94, 0), (255, 255, 255)):
        assert (pixels == colour).all(axis=2).sum() > 200, colour
    legend = pixels[2 * round(drawn["height"]) :]
    for colour in ((0, 114, 178), (213, 94, 0), (104, 104, 104)):
        assert (legend == colour).all(axis=2).sum() > 2 * 28, f"a sample's line of {colour}"


def test_a_legend_is_not_cut_off_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 900})
    page.wait_for_function("document.querySelector('#accuracy').clientWidth < 320")
    root = ElementTree.fromstring(saved(page, "Save accuracy as SVG"))
    starts = [
        [float(number) for number in re.findall(r"[\d.]+", each.get("transform", ""))]
        for each in root.iter(f"{SVG}g")
        if each.find(f"{SVG}line") is not None and "translate" in each.get("transform", "")
    ]
    (_, _, width, height) = (float(number) for number in root.get("viewBox", "").split())
    rows = [y for x, y in starts if y > 250]
    assert len(rows) == 4
    assert len(set(rows)) > 1, "in several rows"
    assert max(rows) + 12 < height
    assert all(0 <= x < width for x, _ in starts)


def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    columns = "getComputedStyle(document.querySelector('.board')).gridTemplateColumns.split(' ').length"
    for width in (320, 360, 390, 768, 1024, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("document.querySelector('#accuracy').clientWidth <= document.body.clientWidth")
        assert page.evaluate(TOO_WIDE) == 0, width
        assert page.evaluate(columns) == (2 if width > 1100 else 1), width


def test_dark_is_dark_and_readable(page: Page) -> None:
    brightness = """() => ["backgroundColor", "color"].map((name) => {
        const [r, g, b] = getComputedStyle(document.querySelector(".panel"))[name].match(/\\d+/g).map(Number);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    })"""
    ground, ink = page.evaluate(brightness)
    assert ink < 60 < 200 < ground
    page.emulate_media(color_scheme="dark")
    ground, ink = page.evaluate(brightness)
    assert ground < 60 < 200 < ink


def test_nothing_moves_for_those_who_want_stillness(page: Page) -> None:
    animation = """() => {
        const made = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
        const group = document.querySelector("#ladder svg").appendChild(made("g"));
        group.setAttribute("class", "fresh");
        group.appendChild(made("path")).setAttribute("class", "head");
        const name = getComputedStyle(group.firstChild).animationName;
        group.remove();
        return name;
    }"""
    assert page.evaluate(animation) == "appear"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(animation) == "none"
