# SPDX-License-Identifier: Apache-2.0
"""Make the picture of the page in docs/images: the project's own weights, four real nodes, a real Chromium.

python tests/page_pictures.py CIFAR_FOLDER
"""

import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from browser import opened, running_chromium
from nodes import three_nodes
from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect

from cli.processes import Ports
from models.weights import WEIGHTS_FOLDER

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE: Final[ViewportSize] = {"width": 1440, "height": 900}
#: A drawing has few colours, and a file with a palette a third of the bytes.
COLOURS: Final = 255
#: Two colours of the palette differ by so much in red, green or blue.
APART: Final = 8


def send_a_rocket(page: Page) -> None:
    """Three rounds or more, so that the ladder has something to show."""
    for name, value in {"ber": "0.3", "seed": "1", "threshold": ""}.items():
        page.fill(f"#{name}", value)
    page.get_by_alt_text("a rocket").click()
    expect(page.locator(".verdict")).to_be_visible()


def run_a_sweep(page: Page, images: int, units: int) -> None:
    """Of the margin rule, until so many of its units are done and it has a speed."""
    page.get_by_text("A new sweep", exact=True).click()
    page.uncheck("#sweep-of-snn-sc-harq")
    page.check("#sweep-of-snn-sc-margin-harq")
    for name, value in {"bers": "0, 0.1, 0.2, 0.3", "count": str(images), "name": "live"}.items():
        page.fill(f"#sweep-{name}", value)
    page.click("#sweep-start")
    page.get_by_text("A new sweep", exact=True).click()
    row = page.locator(".sweeps tr", has_text="live")
    expect(row).to_contain_text("left")
    page.wait_for_function("(least) => document.querySelector('.sweeps progress').value >= least", arg=units)


def take(page: Page, file: Path) -> None:
    """The whole page in light, as wide as a projector."""
    page.emulate_media(reduced_motion="reduce")
    page.set_viewport_size(SIZE)
    with Image.open(BytesIO(page.screenshot(full_page=True))) as picture:
        few_colours(picture.convert("RGB")).save(file, optimize=True)


def few_colours(picture: Image.Image) -> Image.Image:
    """With a palette of the commonest colours, so that a drawing's are exact; Pillow takes nearer ones for the same."""
    counted = picture.getcolors(picture.width * picture.height)
    assert counted is not None
    chosen: list[tuple[int, ...]] = []
    for _, colour in sorted(counted, reverse=True):
        assert isinstance(colour, tuple)
        if all(max(abs(a - b) for a, b in zip(colour, other, strict=True)) >= APART for other in chosen):
            chosen.append(colour)
        if len(chosen) == COLOURS:
            break
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in chosen for value in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main(data: Path) -> None:
    with TemporaryDirectory() as folder, running_chromium() as browser:
        dashboard = {"SPIKELINK_DATA": str(data), "SPIKELINK_SWEEP_STORE": f"sqlite://{folder}/sweeps.sqlite3"}
        environment = {"cloud": {"SPIKELINK_STORE": "memory://"}, "dashboard": dashboard}
        nodes = three_nodes(WEIGHTS_FOLDER, environment, Ports(0, 0, 0, 0))
        with nodes as running, opened(browser, running.urls["dashboard"]) as tab:
            send_a_rocket(tab.page)
            run_a_sweep(tab.page, images=2000, units=110)
            take(tab.page, IMAGES / "dashboard.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
