# SPDX-License-Identifier: Apache-2.0
"""Make the pictures of the page in docs/images: the project's own weights, four real nodes, a real Chromium.

python tests/page_pictures.py
"""

from pathlib import Path
from typing import Final

from browser import opened, running_chromium
from nodes import three_nodes
from playwright.sync_api import Page, expect

from cli.processes import Ports
from models.weights import WEIGHTS_FOLDER

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZES: Final = {"dashboard": (1440, 900), "dashboard-phone": (390, 844)}


def send_a_rocket(page: Page) -> None:
    """Three rounds or more, so that the ladder has something to show."""
    for name, value in {"ber": "0.3", "seed": "4", "threshold": "0.785"}.items():
        page.fill(f"#{name}", value)
    page.get_by_alt_text("a rocket").click()
    expect(page.locator(".verdict")).to_be_visible()
    page.emulate_media(reduced_motion="reduce")


def main() -> None:
    """Light at two widths, and the wide one in dark."""
    nodes = three_nodes(WEIGHTS_FOLDER, {"cloud": {"SPIKELINK_STORE": "memory://"}}, Ports(0, 0, 0, 0))
    with running_chromium() as browser, nodes as running, opened(browser, running.urls["dashboard"]) as tab:
        send_a_rocket(tab.page)
        for name, (width, height) in SIZES.items():
            tab.page.set_viewport_size({"width": width, "height": height})
            tab.page.screenshot(path=IMAGES / f"{name}.png", full_page=True)
        tab.page.set_viewport_size({"width": 1440, "height": 900})
        tab.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        tab.page.screenshot(path=IMAGES / "dashboard-dark.png", full_page=True)


if __name__ == "__main__":
    main()
