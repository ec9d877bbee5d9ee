# SPDX-License-Identifier: Apache-2.0
"""From weights to the page: JSON, then figures and page from the JSON alone, the same each time."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from measurements import Heard, labelled_images

from experiments.data import cifar100
from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.parts import Spec
from experiments.figures.claims import claims
from experiments.figures.draw import FIGURES
from experiments.figures.results import Results, ResultsMissingError, load_results, profiles_in
from experiments.figures.targets import targets
from experiments.reproduction.reproduce import Options, reproduce

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
BERS = (0.0, 0.1, 0.2, 0.3)
LDPC_BERS = (0.0, 0.1, 0.3)


def toy_split(folder: Path, split: str) -> LabelledImages:
    return labelled_images(16, seed=3 if split == "test" else 4)


@pytest.fixture(scope="module")
def docs(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docs folder with the JSON of a random resnet18 on a few made-up images."""
    folder = tmp_path_factory.mktemp("docs")
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar100, "load", toy_split)
        spec = Spec("resnet18", toy_folder)
        reproduce(Options(spec, Path(), BERS, (0, 1), 1, runs, folder / "results", ldpc_bers=LDPC_BERS), Heard())
    return folder


@pytest.fixture(scope="module")
def results(docs: Path) -> Results:
    return load_results(docs / "results" / "resnet18")


#: Draws and writes with torch and all that needs it out of reach.
DRAW = """
import sys
from pathlib import Path
for name in ("torch", "spikingjelly", "models", "sionna"):
    sys.modules[name] = None
from experiments.figures.draw import draw_profile
from experiments.figures.page import write_page
docs = Path(sys.argv[1])
draw_profile(docs / "results" / "resnet18")
write_page(docs)
"""


def drawn(docs: Path) -> dict[str, str]:
    """Draw in a process of its own -> the hash of each file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-W", "error", "-c", DRAW, str(docs)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    files = [docs / "results.md", *docs.rglob("*.svg"), *docs.rglob("*.png")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def test_figures_and_page_come_from_the_json_alone_and_are_the_same_each_time(docs: Path) -> None:
    first = drawn(docs)
    assert first.keys() == {"results.md", *(f"{name}.{end}" for name in FIGURES for end in ("svg", "png"))}
    assert drawn(docs) == first
    page = (docs / "results.md").read_text()
    assert all(f"results/resnet18/{name}.svg" in page for name in FIGURES)
    assert " nan" not in page
    widths = [line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")]
    assert min(widths) >= 4


def test_every_system_is_measured_on_the_same_images(results: Results) -> None:
    systems = {row["system"] for row in results.rates["points"]}
    assert {"snn-sc-harq", "snn-sc-margin-harq", "multi-rate", "snn-sc-ldpc-harq", "cnn-1bit", "control"} <= systems
    passes = {
        (some["name"], some["split"]): (some["images"], len(some["seeds"])) for some in results.provenance["passes"]
    }
    assert passes == {
        ("snn-sc", "validation"): (16, 2),
        ("snn-sc", "test"): (16, 2),
        ("snn-sc-ldpc", "test"): (16, 1),
        ("cnn-1bit", "test"): (16, 2),
    }
    assert len([row for row in results.gaps["cells"] if row["system"] == "snn-sc-harq"]) == 4 * len(BERS)
    assert [row["ber"] for row in results.points("snn-sc-ldpc-harq")] == list(LDPC_BERS)
    assert sorted({row["ber"] for row in results.points("cnn-1bit")}) == list(BERS)


def test_the_control_spends_what_its_system_spends(results: Results) -> None:
    """To the draw: of 32 images (16 at BER 0), each a step of 512 bits or none; allow the mix of the widest pair."""
    for row in results.gaps["cells"]:
        spent = min(4096, max(2048, row["bandwidth_bits"]))
        assert abs(row["control_bits"] - spent) <= 2048 / 2


def test_verdicts_follow_the_figures(results: Results) -> None:
    def verdict(of: Results, claim: str) -> str:
        return next(target.verdict for target in targets(of) if claim in target.claim)

    changed: dict[str, Any] = json.loads(json.dumps(results.gaps))
    for row in (*changed["cells"], *changed["means"]):
        row |= {"gap_paper": 0.5, "interval_paper": [0.4, 0.6], "gap_control": 0.5, "interval_control": [0.4, 0.6]}
    better = replace(results, gaps=changed)
    assert verdict(better, "Table I") == "holds"
    assert verdict(better, "better than a control") == "holds"
    cell = next(row for row in changed["cells"] if row["system"] == "snn-sc-harq" and row["setting"] == "low")
    cell["interval_paper"] = [-0.5, -0.12]
    assert verdict(better, "Table I") == "does not hold"
    for row in changed["means"]:
        row["interval_control"] = [-0.1, 0.6]
    assert verdict(better, "better than a control") == "does not hold"
    adaptive = next(claim for claim in claims(better) if "by hand" in claim.claim)
    assert adaptive.difference == "no gain or loss beyond its interval"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResultsMissingError, match="spikelink reproduce"):
        profiles_in(tmp_path)
    (tmp_path / "resnet18").mkdir()
    (tmp_path / "resnet18" / "provenance.json").write_text("{}")
    with pytest.raises(ResultsMissingError, match="thresholds, rates"):
        load_results(tmp_path / "resnet18")
