# SPDX-License-Identifier: Apache-2.0
"""The committed figures belong to the shipped weights, and evaluating these gives them again.

The tolerance is stated, with its reason, in experiments/reproduction/sample.py.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from measurements import Heard

from experiments.data import cifar100
from experiments.evaluation.measure import by_id
from experiments.evaluation.parts import Spec
from experiments.evaluation.units import UnitStore
from experiments.figures.page import write_page
from experiments.reproduction.sample import TEST_IMAGES, Sampler, differences, made_up_images
from models.weights import available_profiles, read_manifest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
DATA = Path(os.environ.get("SPIKELINK_DATA", ROOT / "data" / "cifar-100-binary"))
PROFILES = [name for name, manifest in available_profiles().items() if manifest]
REPEAT = "spikelink reproduce --sample-only"


def committed(profile: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / profile / "sample.json").read_text())
    return figures


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sample_is_of_the_shipped_weights(profile: str) -> None:
    assert committed(profile)["weights_sha256"] == read_manifest(profile).weights_sha256, f"repeat {REPEAT}"


@pytest.mark.parametrize("profile", PROFILES)
def test_made_up_images_give_the_committed_figures(profile: str, tmp_path: Path) -> None:
    sampler = Sampler(Spec(profile), UnitStore(tmp_path), 1, Heard())
    assert differences(sampler.figures(made_up_images()), committed(profile)["made_up"]) == []


@pytest.mark.skipif(not cifar100.is_there(DATA, "test"), reason=f"no CIFAR-100 in {DATA} (or SPIKELINK_DATA)")
@pytest.mark.parametrize("profile", PROFILES)
def test_real_images_give_the_committed_figures(profile: str, tmp_path: Path) -> None:
    """500 test images, drawn by the hash of their pixels before any training."""
    sampler = Sampler(Spec(profile), UnitStore(tmp_path), 1, Heard())
    images = by_id(cifar100.load(DATA, "test"), TEST_IMAGES)
    assert differences(sampler.figures(images), committed(profile)["test"]) == []


def test_committed_results_are_of_the_shipped_weights() -> None:
    for path in RESULTS.glob("*/provenance.json"):
        shipped = read_manifest(path.parent.name).weights_sha256
        assert json.loads(path.read_text())["weights_sha256"] == shipped, f"{path}: repeat spikelink reproduce"


def test_the_page_is_what_the_committed_json_gives(tmp_path: Path) -> None:
    if not sorted(RESULTS.glob("*/provenance.json")):
        assert not (ROOT / "docs" / "results.md").exists(), "a page without its JSON"
        return
    (tmp_path / "results").symlink_to(RESULTS)
    assert write_page(tmp_path).read_text() == (ROOT / "docs" / "results.md").read_text()
