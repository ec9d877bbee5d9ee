# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: what loads, and everything that must not."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from safetensors.torch import load_file, save_file
from toy import toy_weights

from models.parts import ALL_CLOUD_PARTS, ALL_EDGE_PARTS
from models.profiles import PROFILES
from models.weights import (
    CLOUD_PARTS,
    EDGE_PARTS,
    MANIFEST,
    Manifest,
    WeightsError,
    available_profiles,
    load_cloud,
    load_edge,
    read_manifest,
)

RESNET18 = PROFILES["resnet18"]
Document = dict[str, JsonValue]


@pytest.fixture
def folder(toy_folder: Path, tmp_path: Path) -> Path:
    """A copy to break. Files are linked, so replace them rather than write into them."""
    return Path(shutil.copytree(toy_folder, tmp_path / "weights", copy_function=os.link))


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def edit(folder: Path, change: Callable[[Document], object]) -> None:
    path = folder / "resnet18" / MANIFEST
    document = json.loads(path.read_bytes())
    change(document)
    replace(path, json.dumps(document).encode())


def part_of(document: Document, name: str) -> Document:
    parts = document["parts"]
    assert isinstance(parts, dict)
    part = parts[name]
    assert isinstance(part, dict)
    return part


def replace_part(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Another file for a part, with a manifest that agrees: only the network can tell."""
    path = folder / "resnet18" / f"{name}.safetensors"
    values = load_file(path)
    change(values)
    path.unlink()
    save_file(values, path)
    digest = sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda document: part_of(document, name).update(sha256=digest))


def load_all(folder: Path) -> None:
    manifest = read_manifest("resnet18", folder)
    load_edge(RESNET18, manifest, folder)
    load_cloud(RESNET18, manifest, folder)


def test_networks_hold_the_files_values(folder: Path) -> None:
    manifest = read_manifest("resnet18", folder)
    edge, cloud = load_edge(RESNET18, manifest, folder), load_cloud(RESNET18, manifest, folder)
    for networks, names in ((edge, ALL_EDGE_PARTS), (cloud, ALL_CLOUD_PARTS)):
        assert not networks.training
        assert not any(parameter.requires_grad for parameter in networks.parameters())
        for name in names:
            stored = load_file(folder / "resnet18" / f"{name}.safetensors")
            held = networks.get_submodule(name).state_dict()
            assert stored.keys() == {key for key in held if not key.endswith("num_batches_tracked")}
            for key, value in stored.items():
                assert value.dtype == (torch.float16 if value.ndim > 1 else torch.float32)
                assert held[key].dtype == torch.float32
                assert torch.equal(held[key], value.float())


def test_one_hash_names_all_files(folder: Path) -> None:
    files = sorted((folder / "resnet18").glob("*.safetensors"), key=lambda path: path.stem)
    lines = "".join(f"{path.stem} {sha256(path.read_bytes()).hexdigest()}\n" for path in files)
    assert [path.stem for path in files] == sorted({*ALL_EDGE_PARTS, *ALL_CLOUD_PARTS})
    assert read_manifest("resnet18", folder).weights_sha256 == sha256(lines.encode()).hexdigest()


def test_profile_without_weights_is_listed_as_none(folder: Path, tmp_path: Path) -> None:
    found = available_profiles(folder)
    assert found.keys() == PROFILES.keys()
    assert isinstance(found["resnet18"], Manifest)
    assert found["resnet50"] is None
    assert set(available_profiles(tmp_path / "nowhere").values()) == {None}


def test_broken_manifest_is_listed_as_none(folder: Path) -> None:
    replace(folder / "resnet18" / MANIFEST, b"{")
    assert available_profiles(folder)["resnet18"] is None


@pytest.mark.parametrize("profile", ["resnet50", "unheard-of"])
def test_absent_weights_say_so(folder: Path, profile: str) -> None:
    with pytest.raises(WeightsError, match="not trained yet"):
        read_manifest(profile, folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"profile": "resnet18"}'])
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    replace(folder / "resnet18" / MANIFEST, content)
    with pytest.raises(WeightsError, match="is not a manifest"):
        read_manifest("resnet18", folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(surprise=1),
        lambda document: part_of(document, "head").update(surprise=1),
        lambda document: part_of(document, "head").update(sha256="ABCD"),
        lambda document: part_of(document, "head").update(sha256="A" * 64),
        lambda document: part_of(document, "head").update(size_bytes=0),
        lambda document: part_of(document, "head").pop("size_bytes"),
        lambda document: document.pop("thresholds"),
        lambda document: document.pop("provenance"),
        lambda document: document.update(thresholds={"snn-sc-harq": "high"}),
    ],
    ids=["key", "part_key", "short_hash", "upper_case", "no_bytes", "no_size", "no_thresholds", "no_story", "words"],
)
def test_wrong_fields_are_refused(folder: Path, change: Callable[[Document], object]) -> None:
    edit(folder, change)
    with pytest.raises(WeightsError, match="is not a manifest"):
        read_manifest("resnet18", folder)


@pytest.mark.parametrize("name", [*EDGE_PARTS, *CLOUD_PARTS])
def test_manifest_that_leaves_out_a_part_is_refused(folder: Path, name: str) -> None:
    def leave_out(document: Document) -> None:
        part_of(document, name)
        parts = document["parts"]
        assert isinstance(parts, dict)
        del parts[name]

    edit(folder, leave_out)
    with pytest.raises(WeightsError, match=f"missing {name}"):
        read_manifest("resnet18", folder)


def test_manifest_of_another_profile_is_refused(folder: Path) -> None:
    edit(folder, lambda document: document.update(profile="resnet50"))
    with pytest.raises(WeightsError, match="does not describe"):
        read_manifest("resnet18", folder)


@pytest.mark.parametrize("name", [*EDGE_PARTS, *CLOUD_PARTS])
def test_altered_file_is_refused(folder: Path, name: str) -> None:
    path = folder / "resnet18" / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    replace(path, bytes(content))
    with pytest.raises(WeightsError, match="sha256 differs"):
        load_all(folder)


class Harm:
    """A call of a function, which whoever unpickles this makes."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_pickle_in_the_place_of_weights_is_refused_and_not_run(
    folder: Path, tmp_path: Path, save: Callable[[object, Path], object]
) -> None:
    """With a manifest that names it: the form of the file alone is what keeps it out."""
    touched, path = tmp_path / "touched", folder / "resnet18" / "converter.safetensors"
    path.unlink()
    save({"gate.bias": Harm(touched)}, path)
    content = path.read_bytes()
    edit(folder, lambda document: part_of(document, "converter").update(sha256=sha256(content).hexdigest()))
    with pytest.raises(WeightsError, match="does not fit the network converter"):
        load_all(folder)
    assert not touched.exists()
    torch.load(io.BytesIO(content), weights_only=False) if save is torch.save else pickle.loads(content)
    assert touched.exists(), "the test would prove nothing with a file that is merely broken"


@pytest.mark.parametrize("name", [*EDGE_PARTS, *CLOUD_PARTS])
def test_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / "resnet18" / f"{name}.safetensors").unlink()
    with pytest.raises(WeightsError, match="is missing"):
        load_all(folder)


@pytest.mark.parametrize(
    "change",
    [lambda values: values.update(surprise=torch.zeros(1)), lambda values: values.pop("gate.bias")],
    ids=["unexpected", "missing"],
)
def test_file_of_other_values_is_refused(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    replace_part(folder, "converter", change)
    with pytest.raises(WeightsError, match="does not fit the network converter"):
        load_all(folder)


def test_file_of_other_shapes_is_refused(folder: Path) -> None:
    replace_part(folder, "converter", lambda values: values.update({"gate.bias": torch.zeros(3)}))
    with pytest.raises(WeightsError, match="does not fit the network converter"):
        load_all(folder)


def test_toy_weights_repeat_and_differ_by_seed(toy_folder: Path, tmp_path: Path) -> None:
    again = read_manifest("resnet18", toy_weights(tmp_path / "again"))
    other = read_manifest("resnet18", toy_weights(tmp_path / "other", seed=1))
    first = read_manifest("resnet18", toy_folder)
    assert again == first
    assert other.weights_sha256 != first.weights_sha256
    assert first.thresholds.keys() == {"snn-sc-harq", "snn-sc-margin-harq", "snn-sc-learned-harq"}
    assert all(-1 < theta < 1 for theta in first.thresholds.values())
