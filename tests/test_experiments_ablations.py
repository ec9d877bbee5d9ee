# SPDX-License-Identifier: Apache-2.0
"""Ablations: variants begin as the shipped weights, survive interruptions, and the page says what the JSON says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from measurements import Heard, labelled_images
from safetensors.torch import load_file
from toy import toy_weights
from toy_cifar import held_out, write_toy_cifar
from typer.testing import CliRunner

from cli.app import main
from experiments.ablations.informed import InformedCodec, InformedConverter, InformedSpec
from experiments.ablations.trained import Recipe, train_variant
from experiments.ablations.variants import VARIANTS
from experiments.data import cifar100
from experiments.evaluation.measure import Plan, measure
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import WITHOUT_PRIOR
from experiments.evaluation.units import UnitStore
from experiments.training.bench import Listener
from experiments.training.codecs import Codec
from experiments.training.draws import Draws
from experiments.training.loop import Run, Schedule
from models.profiles import PROFILES
from models.weights import load_part, read_parts

TOY = PROFILES["resnet18"]
CHANNELS = TOY.backbone.feature_channels


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_toy_cifar(tmp_path / "data", train=12, validation=8)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(folder))
    return folder


def ablate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["ablate", *(str(argument) for argument in arguments)])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shipped(codec: Codec, folder: Path) -> Codec:
    """The codec with a weights folder's parts, as training starts from them."""
    parts = read_parts(TOY.name, folder)
    for name, part in codec.named_children():
        load_part(part, name, TOY.name, parts, folder)
    return codec.eval()


def test_a_converter_that_sees_p_starts_as_the_shipped_one_bit_for_bit(toy_folder: Path) -> None:
    plain = shipped(Codec(CHANNELS, TOY.max_steps), toy_folder)
    informed = shipped(InformedCodec(CHANNELS, TOY.max_steps), toy_folder)
    f_BCHW, p_B = torch.rand(6, CHANNELS, 4, 4, generator=generator()) * 4, torch.linspace(0, 0.5, 6)
    with torch.no_grad():
        pairs = [
            (some.rebuild(f_BCHW, p_B, (4, 6, 8), generator(1)).features, some.learn(f_BCHW, Draws(4, 8), generator(2)))
            for some in (plain, informed)
        ]
    (features, (f_learned, penalty)), (others, (f_other, other_penalty)) = pairs
    assert all(torch.equal(one, other) for one, other in zip(features, others, strict=True))
    assert torch.equal(f_learned, f_other)
    assert torch.equal(penalty, other_penalty)
    with torch.no_grad():
        assert isinstance(informed.converter, InformedConverter)
        informed.converter.shift.fill_(0.5)
        moved = informed.rebuild(f_BCHW, p_B, (4,), generator(1)).features[0]
    assert torch.equal(moved[0], features[0][0])  # p = 0 there
    assert not torch.equal(moved[1], features[0][1])


def test_p_reaches_the_converter_of_the_link(toy_folder: Path, tmp_path: Path) -> None:
    """With c = 0 the pass gives the shipped columns, with another c other ones, at BERs above zero."""
    images, plan = labelled_images(12), Plan(WITHOUT_PRIOR, (0.0, 0.2), (0,))

    def columns(spec: Spec, name: str) -> dict[float, Any]:
        found = measure(spec, images, plan, UnitStore(tmp_path / name), 1, Heard()).by_ber
        return {ber: outcomes.scores for ber, outcomes in found.items()}

    plain = columns(Spec(TOY.name, toy_folder), "plain")
    same = columns(InformedSpec(TOY.name, toy_folder), "informed")
    for ber, scores in plain.items():
        assert all(np.array_equal(score, same[ber][name]) for name, score in scores.items())
        assert "similarity" not in scores  # nothing asks a SimNet that knows another codec
    parts = InformedSpec(TOY.name, toy_folder).load()
    parts.receiver._converter.shift.data.fill_(0.5)  # type: ignore[attr-defined]
    spec = InformedSpec(TOY.name, toy_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InformedSpec, "load", lambda _: parts)
        moved = columns(spec, "moved")
    assert np.array_equal(moved[0.0]["margin"], plain[0.0]["margin"])
    assert not np.array_equal(moved[0.2]["margin"], plain[0.2]["margin"])


def test_only_the_named_thing_differs() -> None:
    draws = {name: variant.draws(TOY) for name, variant in VARIANTS.items()}
    assert draws == {
        "control": Draws(4, 8, 0.3, 0.0),
        "max-ber-0.4": Draws(4, 8, 0.4, 0.0),
        "high-ber-share-0.5": Draws(4, 8, 0.4, 0.5),
        "p-in-converter": Draws(4, 8, 0.3, 0.0),
    }
    assert VARIANTS["control"].draws(PROFILES["resnet18-t1"]).min_steps == 1
    assert [name for name, variant in VARIANTS.items() if variant.informed] == ["p-in-converter"]


class Killed(Exception):
    """In the middle of an epoch."""


@pytest.mark.parametrize("name", ["control", "p-in-converter"])
def test_an_interrupted_variant_equals_an_uninterrupted(
    name: str, data: Path, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(lambda *_: None, lambda _: None, lambda _: None)

    def recipe(runs: str) -> Recipe:
        return Recipe(TOY.name, data, toy_folder, tmp_path / runs, Schedule(2, 1e-3, 4), checkpoint_s=0)

    def weights(runs: str) -> dict[str, torch.Tensor]:
        (manifest,) = (tmp_path / runs).rglob("weights/resnet18/manifest.json")
        files = (manifest.parent / f"{part}.safetensors" for part in ("encoder", "reconstructor", "converter"))
        return {f"{file.stem}.{key}": value for file in files for key, value in load_file(file).items()}

    before = {path: path.read_bytes() for path in toy_folder.rglob("*") if path.is_file()}
    train_variant(recipe("whole"), VARIANTS[name], listener)
    step, left = Run._step, [5]

    def dying(run: Run, *arguments: Any) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return step(run, *arguments)

    monkeypatch.setattr(Run, "_step", dying)
    with pytest.raises(Killed):
        train_variant(recipe("parts"), VARIANTS[name], listener)
    monkeypatch.setattr(Run, "_step", step)
    train_variant(recipe("parts"), VARIANTS[name], listener)
    whole, parts = weights("whole"), weights("parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())
    assert before == {path: path.read_bytes() for path in toy_folder.rglob("*") if path.is_file()}

    monkeypatch.setattr(Run, "_step", dying)  # a finished variant takes no further step
    left[0] = 1
    again = train_variant(recipe("parts"), VARIANTS[name], listener)
    assert again.run.progress.epoch == 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights of the toy, and what a try needs."""
    toy_weights(tmp_path / "weights")
    return tmp_path


def options(folder: Path, data: Path) -> list[object]:
    where = ["--weights", folder / "weights", "--runs", folder / "runs", "--docs", folder / "docs", "--data", data]
    return [*where, "--seeds", 1, "--workers", 1, "--bers", "0,0.3"]


def test_codec_from_the_command_to_the_page(folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test image is read: there are none, and asking for them would fail the command."""
    splits: list[str] = []
    load = cifar100.load
    monkeypatch.setattr(cifar100, "load", lambda source, split: splits.append(split) or load(source, split))
    few = ["--epochs", 1, "--batch", 4, "--variants", "control,p-in-converter"]
    done = ablate("codec", *few, *options(folder, data))
    assert (done.exit_code, done.stderr) == (0, "")
    assert set(splits) == {"train", "validation"}
    path = folder / "docs" / "results" / "ablations" / "codec-resnet18.json"
    record = json.loads(path.read_text())
    assert (record["images"], record["split"], record["bers"]) == (8, "validation", [0.0, 0.3])
    assert [variant["name"] for variant in record["variants"]] == ["control", "p-in-converter"]
    rows = {(row["variant"], row["ber"], row["t"]): row for row in record["multi_rate"]}
    assert {name for name, _, _ in rows} == {"shipped", "control", "p-in-converter"}
    assert {t for _, _, t in rows} == {4, 5, 6, 7, 8, "all"}
    assert rows["control", "all", "all"]["over_control"] == {"points": 0.0, "interval": [0.0, 0.0]}
    both = [rows["shipped", ber, 4]["accuracy"]["points"] for ber in (0.0, 0.3)]
    assert rows["shipped", "all", 4]["accuracy"]["points"] == pytest.approx(np.mean(both))
    for row in record["gaps"]:
        if row["variant"] == "control":
            assert row["to_own"] == row["to_control"]
    text = (folder / "docs" / "ablations.md").read_text()
    assert "## The codec: resnet18" in text

    monkeypatch.setattr(Run, "_step", None)  # what is finished is not trained again
    again = ablate("codec", *few, *options(folder, data))
    assert (again.exit_code, again.stderr) == (0, "")
    assert {**json.loads(path.read_text()), "command": ""} == {**record, "command": ""}


def test_the_page_comes_from_the_json_alone(folder: Path, data: Path) -> None:
    """A figure that is changed there changes what the page says wins; weights, data and runs are gone."""
    done = ablate("codec", "--epochs", 1, "--batch", 4, "--variants", "control,max-ber-0.4", *options(folder, data))
    assert done.exit_code == 0
    path = folder / "docs" / "results" / "ablations" / "codec-resnet18.json"
    record = json.loads(path.read_text())
    for row in record["gaps"]:
        if (row["variant"], row["ber"], row["share"]) == ("max-ber-0.4", "all", "all"):
            row["over_control"] = {"points": 1.25, "interval": [1.0, 1.5]}
    other = folder / "elsewhere"
    (other / "results" / "ablations").mkdir(parents=True)
    (other / "results" / "ablations" / path.name).write_text(json.dumps(record))
    drawn = ablate("codec", "--draw-only", "--docs", other)
    assert (drawn.exit_code, drawn.stderr) == (0, "")
    text = (other / "ablations.md").read_text()
    assert "margin rule +1.25 [+1.00, +1.50] (better)" in text
    assert "the best first: max-ber-0.4." in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("codec", "--variants", "control,louder"), "there is no variant 'louder': there are control, max-ber-0.4"),
        (("codec", "--variants", "max-ber-0.4"), "--variants needs control"),
        (("codec", "--bers", "0,0.6"), "a BER lies in 0..0.5"),
        (("codec", "--profile", "resnet51"), "there is no profile 'resnet51'"),
        (("codec", "--images", "10"), "--docs says where its results go"),
        (("codec", "--docs", "EMPTY", "--draw-only"), "run spikelink ablate codec first"),
        (("codec", "--data", "EMPTY", "--runs", "EMPTY"), "get it by 'spikelink data fetch'"),
        (("codec", "--weights", "EMPTY", "--runs", "EMPTY"), "it is not trained yet"),
    ],
)
def test_a_bad_option_takes_one_line(
    arguments: tuple[str, ...], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["ablate", *(str(tmp_path) if argument == "EMPTY" else argument for argument in arguments)])
    assert left.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert reason in line
