# SPDX-License-Identifier: Apache-2.0
"""The committed figures belong to the shipped weights, and evaluating these gives them again.

The tolerance is stated, with its reason, in experiments/reproduction/sample.py.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from measurements import Heard

from experiments.ablations.page import write_page as write_ablations
from experiments.data import cifar100
from experiments.evaluation.parts import Spec
from experiments.evaluation.units import UnitStore
from experiments.figures.draw import draw_profile
from experiments.figures.page import write_page as write_results
from experiments.figures.results import SECTIONS
from experiments.reproduction.sample import Sampler, differences, made_up_images, real_images
from models.weights import available_profiles, read_manifest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
DATA = Path(os.environ.get("SPIKELINK_DATA", ROOT / "data" / "cifar-100-binary"))
PROFILES = [name for name, manifest in available_profiles().items() if manifest]
REPEAT = "spikelink reproduce --sample-only"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def committed(profile: str) -> dict[str, Any]:
    return read(RESULTS / profile / "sample.json")


def require_data(split: cifar100.Split) -> None:
    """Skip without CIFAR-100, or fail where SPIKELINK_REQUIRE_DATA=1 says that nothing may be skipped."""
    if cifar100.is_there(DATA, split):
        return
    said = f"no CIFAR-100 in {DATA} (or SPIKELINK_DATA)"
    if os.environ.get("SPIKELINK_REQUIRE_DATA") == "1":
        pytest.fail(said)
    pytest.skip(said)


def test_every_profile_with_figures_has_its_weights() -> None:
    """Or else the tests below would pass it over."""
    assert {path.parent.name for path in RESULTS.glob("*/sample.json")} == set(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sample_is_of_the_shipped_weights(profile: str) -> None:
    assert committed(profile)["weights_sha256"] == read_manifest(profile).weights_sha256, f"repeat {REPEAT}"


@pytest.mark.parametrize("profile", PROFILES)
def test_made_up_images_give_the_committed_figures(profile: str, tmp_path: Path) -> None:
    sampler = Sampler(Spec(profile), UnitStore(tmp_path), 1, Heard())
    assert differences(sampler.figures(made_up_images()), committed(profile)["made_up"]) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_real_images_give_the_committed_figures(profile: str, tmp_path: Path) -> None:
    """Some hundred test images, drawn by the hash of their pixels before any training."""
    require_data("test")
    sampler = Sampler(Spec(profile), UnitStore(tmp_path), 1, Heard())
    images = cifar100.load(DATA, "test").by_id(real_images(profile))
    assert differences(sampler.figures(images), committed(profile)["test"]) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_all_committed_results_are_of_the_shipped_weights(profile: str) -> None:
    """Every JSON that names weights, and the default thresholds, which are not in the weights' hash."""
    named = [path for path in (*RESULTS.glob("*.json"), *RESULTS.glob("*/*.json")) if "weights_sha256" in read(path)]
    of_profile = [path for path in named if profile in (path.parent.name, read(path).get("profile"))]
    assert RESULTS / f"{profile}-test.json" in of_profile
    manifest = read_manifest(profile)
    for path in of_profile:
        assert read(path)["weights_sha256"] == manifest.weights_sha256, f"{path}: made with other weights"
    points = read(RESULTS / f"{profile}-test.json")["points"]
    thetas = {point["system"]: point["theta"] for point in points if point["theta"] is not None}
    assert thetas == manifest.thresholds, "made with other thresholds"
    if (path := RESULTS / profile / "thresholds.json").is_file():
        defaults = {name: settings["default"] for name, settings in read(path).items() if "default" in settings}
        assert defaults == manifest.thresholds, "made with other thresholds"


@pytest.mark.parametrize(("write", "name"), [(write_results, "results.md"), (write_ablations, "ablations.md")])
def test_the_pages_are_what_the_committed_json_gives(
    write: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    (tmp_path / "results").symlink_to(RESULTS)
    write(tmp_path)
    assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_figures_are_drawn_from_the_committed_json(profile: str, tmp_path: Path) -> None:
    """To a hundredth of a point of the page, which is what processors may differ by."""
    for section in SECTIONS:
        shutil.copy(RESULTS / profile / f"{section}.json", tmp_path)
    for drawn in draw_profile(tmp_path):
        (shapes, places), (kept_shapes, kept_places) = (
            taken_apart(folder / f"{drawn.name}.svg") for folder in (tmp_path, RESULTS / profile)
        )
        assert shapes == kept_shapes, f"{drawn.name}: spikelink reproduce --figures-only"
        assert places == pytest.approx(kept_places, abs=0.01), f"{drawn.name}: spikelink reproduce --figures-only"


def taken_apart(path: Path) -> tuple[list[str], list[float]]:
    """A drawing's text without its numbers, and these; ids of clip paths are hashes of places."""
    text = re.sub(r"#?\b[pm][0-9a-f]{10}\b", "", path.read_text())
    number = r"-?\d+\.\d+"
    return re.split(number, text), [float(found) for found in re.findall(number, text)]
