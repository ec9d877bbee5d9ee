# SPDX-License-Identifier: Apache-2.0
"""Make the picture of the page in docs/images: the project's own weights, four real nodes, a real Chromium.

python tests/page_pictures.py
"""

from pathlib import Path
from typing import Final

from browser import opened, running_chromium
from nodes import three_nodes
from playwright.sync_api import Page, ViewportSize, expect

from cli.processes import Ports
from models.weights import WEIGHTS_FOLDER

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE: Final[ViewportSize] = {"width": 1440, "height": 900}


def send_a_rocket(page: Page) -> None:
    """Three rounds or more, so that the ladder has something to show."""
    for name, value in {"ber": "0.3", "seed": "1", "threshold": ""}.items():
        page.fill(f"#{name}", value)
    page.get_by_alt_text("a rocket").click()
    expect(page.locator(".verdict")).to_be_visible()
    page.emulate_media(reduced_motion="reduce")


def main() -> None:
    """In light, as wide as a projector."""
    nodes = three_nodes(WEIGHTS_FOLDER, {"cloud": {"SPIKELINK_STORE": "memory://"}}, Ports(0, 0, 0, 0))
    with running_chromium() as browser, nodes as running, opened(browser, running.urls["dashboard"]) as tab:
        send_a_rocket(tab.page)
        tab.page.set_viewport_size(SIZE)
        tab.page.screenshot(path=IMAGES / "dashboard.png", full_page=True)


if __name__ == "__main__":
    main()
