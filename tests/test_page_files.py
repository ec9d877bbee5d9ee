# SPDX-License-Identifier: Apache-2.0
"""The page's files: what is vendored is what was released, results are the committed ones, all is packaged."""

import json
import re
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from experiments.figures.style import LOOKS
from models.profiles import DEFAULT_PROFILE
from models.systems import SYSTEMS
from service.nodes.dashboard.files import PAGE
from service.nodes.dashboard.reference import FOLDER, read_reference

ROOT = Path(__file__).resolve().parents[1]
#: The default profile's: the page draws one set of curves behind what is live.
RESULTS = [ROOT / "docs" / "results" / f"{DEFAULT_PROFILE}-test.json"]


def test_the_library_is_the_released_file_with_its_licence() -> None:
    vendor = PAGE / "vendor"
    sums = dict(reversed(line.split()) for line in (vendor / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: sha256((vendor / name).read_bytes()).hexdigest() for name in ("d3.min.js",)}
    assert sums["d3.min.js"] == "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1", "of d3 7.9.2"
    assert "Permission to use, copy, modify" in (vendor / "d3.LICENSE").read_text()
    assert {path.name for path in vendor.iterdir()} == {"d3.min.js", "d3.LICENSE", "SHA256SUMS"}


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    for path in PAGE.iterdir():
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text()
            assert not re.search(r"""(?:src|href|import|url)\b[^\n]{0,12}["'(](?:https?:)?//""", text), path.name
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b", text), path.name
    index = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", index)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_packaged_results_are_the_committed_ones(path: Path) -> None:
    copy = FOLDER / path.name
    assert copy.read_bytes() == path.read_bytes(), f"cp {path.relative_to(ROOT)} {copy.relative_to(ROOT)}"


def test_points_are_those_of_the_results() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in RESULTS}
    (found,) = (each for each in read_reference() if each.name == "resnet18-test")
    rows = json.loads((ROOT / "docs" / "results" / "resnet18-test.json").read_text())["points"]
    assert len(found.points) == len(rows)
    for point, row in zip(found.points, rows, strict=True):
        for name in ("system", "theta", "t", "ber", "images", "accuracy", "bandwidth_bits"):
            assert getattr(point, name) == row[name]
        assert point.accuracy_high - point.accuracy == pytest.approx(row["half_width"])
    assert len({(point.series, point.ber) for point in found.points}) == len(rows)


def test_the_interval_of_the_bandwidth_is_that_of_its_mean() -> None:
    """Against the definition: 10,000 images, each with the bits of its t."""
    (found,) = (each for each in read_reference() if each.name == "resnet18-test")
    row = json.loads((FOLDER / "resnet18-test.json").read_text())["points"][0]
    bits = [2080 + 512 * index for index, share in enumerate(row["share_by_t"]) for _ in range(round(10_000 * share))]
    mean = sum(bits) / len(bits)
    deviation = (sum((each - mean) ** 2 for each in bits) / len(bits)) ** 0.5
    assert mean == pytest.approx(row["bandwidth_bits"])
    high = found.points[0].bandwidth_high
    assert high is not None
    assert high - mean == pytest.approx(1.96 * deviation / 100)


def palette(scheme: str) -> dict[str, str]:
    """The colours of style.css under "light" or "dark", which changes some."""
    light, dark = (PAGE / "style.css").read_text().split("@media (prefers-color-scheme: dark)")
    texts = [light] if scheme == "light" else [light, dark]
    return {name: colour for text in texts for name, colour in re.findall(r"--([\w-]+): (#[0-9a-fA-F]{6});", text)}


def contrast(first: str, second: str) -> float:
    """That of WCAG 2.2, of two colours #rrggbb."""

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_line_stands_out_from_the_panel(system: str, scheme: str) -> None:
    """By WCAG's measure for graphics; the light colours are those of the figures wherever these reach it."""
    colours = palette(scheme)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast(colours[system], colours["surface"]) >= 3
    if scheme == "light" and system in LOOKS:
        figure = LOOKS[system].colour
        assert (colours[system] == figure) == (contrast(figure, colours["surface"]) >= 3)


def test_the_page_knows_every_system_as_the_figures_do() -> None:
    text = (PAGE / "systems.js").read_text()
    for name, system in SYSTEMS.items():
        entry = re.search(rf'^  "?{name}"?: {{ (.*) }},$', text, re.MULTILINE)
        assert entry, name
        assert ("unit:" in entry[1]) == system.takes_t  # all else the nodes say (tests/test_page_browser.py)
        if name in LOOKS:
            assert f'label: "{LOOKS[name].label}"' in entry[1]


def test_an_installation_carries_the_page_and_the_results() -> None:
    """What setuptools takes along besides Python's own files; tests/test_containers.py looks into an image."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = PAGE.parent
    taken = {path for pattern in patterns["service.nodes.dashboard"] for path in package.glob(pattern)}
    files = {path for path in (*PAGE.rglob("*"), *FOLDER.iterdir()) if path.is_file()}
    assert len(files) > 20
    assert files <= taken
