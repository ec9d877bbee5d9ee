# SPDX-License-Identifier: Apache-2.0
"""Specifications of sweeps: what they come to, what is refused, and what decides the names of units and sweeps."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sweeps import made_record, sorted_images
from toy import toy_images
from toy_cifar import write_toy_test_set

from experiments.data.cifar100 import LabelledImages
from experiments.data.png import png
from experiments.data.split import image_id
from experiments.sweeps.engine import cpu_arithmetic
from experiments.sweeps.images import load_images
from experiments.sweeps.record import Point, Record
from experiments.sweeps.resolve import difference, resolve
from experiments.sweeps.spec import Images, Spec, SpecError, read_spec
from models.labels import CLASS_NAMES
from models.weights import read_manifest

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "sweeps" / "thresholds.toml"
GRID = """
bers = [0, 0.1]
seeds = [7, 8]
[images]
data_set = "cifar100-test"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def resolved(folder: Path, text: str, weights: Path) -> Record:
    spec = read_spec(written(folder, text))
    return resolve(spec, read_manifest(spec.profile, weights), sorted_images(5), cpu_arithmetic("resnet18"))


def test_the_example_is_one(toy_folder: Path) -> None:
    spec = read_spec(EXAMPLE)
    record = resolve(spec, read_manifest("resnet18", toy_folder), sorted_images(5), cpu_arithmetic("resnet18"))
    assert len(record.points) == 7 * (3 + 1 + 2) + 1
    assert spec.images.count == 1000
    assert Record.from_bytes(record.to_bytes(), record.id) == record
    with pytest.raises(SpecError, match="of another version"):
        Record.from_bytes(record.to_bytes(), 64 * "0")


def test_points_are_systems_by_thresholds_or_t_by_bers(toy_folder: Path, tmp_path: Path) -> None:
    series = """
    [[series]]
    system = "snn-sc-harq"
    thresholds = [0.7, 1]
    [[series]]
    system = "snn-sc-margin-harq"
    bers = [0.3]
    [[series]]
    system = "multi-rate"
    t = [4]
    [[series]]
    system = "snn-sc-harq"
    thresholds = [0.7]
    """
    record = resolved(tmp_path, GRID + series, toy_folder)
    default = read_manifest("resnet18", toy_folder).thresholds["snn-sc-margin-harq"]
    found = [(point.system, point.theta, point.t, point.ber) for point in record.points]
    assert found == [
        ("snn-sc-harq", 0.7, None, 0.0),
        ("snn-sc-harq", 0.7, None, 0.1),
        ("snn-sc-harq", 1.0, None, 0.0),
        ("snn-sc-harq", 1.0, None, 0.1),
        ("snn-sc-margin-harq", default, None, 0.3),
        ("multi-rate", None, 4, 0.0),
        ("multi-rate", None, 4, 0.1),
    ]
    # Without noise every seed gives the same.
    assert [record.seeds_at(index) for index in (0, 1)] == [(7,), (7, 8)]
    assert len(list(record.units())) == 3 * 1 + 4 * 2


ONE = '[[series]]\nsystem = "snn-sc-harq"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bers = [0.1", "is not TOML"),
        ("bers = [0.1]\nthreshold = 0.7", r"sweep.toml: there is no key 'threshold'"),
        (GRID + ONE + "threshold = 0.7", r"series\[0\]: there is no key 'threshold'"),
        (GRID, "series: field required"),
        (GRID.replace("[0, 0.1]", "[]") + ONE, "bers: .*at least 1"),
        (GRID.replace("[7, 8]", "[]") + ONE, "seeds: .*at least 1"),
        (GRID.replace("[7, 8]", "[7, 8, 7]") + ONE, "seeds: 7 stands there twice"),
        (GRID.replace("[7, 8]", '["7"]') + ONE, r"seeds\[0\]: .*integer"),
        (GRID.replace("0.1", "0.6") + ONE, r"bers\[1\]: .*less than or equal to 0.5"),
        (GRID.replace("0.1", "nan") + ONE, r"bers\[1\]"),
        (GRID.replace("0.1", "1979-05-27") + ONE, r"bers\[1\]"),
        (GRID + "first = -1\n" + ONE, "images.first: "),
        (GRID + 'folder = "x"\n' + ONE, "images: name either data_set or folder"),
        (GRID.replace("cifar100-test", "cifar10") + ONE, "images.data_set: "),
        ('name = "a\\u001b[2J"' + GRID + ONE, "name: .*must be printable"),
        ("unit_images = 257" + GRID + ONE, "unit_images: .*256"),
        ("stop_at_half_width = 0" + GRID + ONE, "stop_at_half_width: "),
        (GRID + ONE + "thresholds = []", r"series\[0\].thresholds: "),
        (GRID + ONE + "thresholds = [1.5]", r"series\[0\].thresholds\[0\]: "),
        (GRID + ONE.replace("harq", "hark"), r"series\[0\]: there is no system 'snn-sc-hark': there are "),
        (GRID + ONE + "t = [4]", r"series\[0\]: system snn-sc-harq takes no t"),
        (GRID + ONE.replace("snn-sc-harq", "multi-rate"), r"series\[0\]: system multi-rate needs t"),
        (GRID + ONE.replace("snn-sc-harq", "multi-rate") + "t = [9]", r"series\[0\]: t lies in 4..8, not at 9"),
        (
            GRID + ONE.replace("snn-sc-harq", "multi-rate") + "t = [4]\nthresholds = [0.5]",
            r"series\[0\]: system multi-rate takes no thresholds",
        ),
        (GRID + ONE.replace("snn-sc-harq", "bypass"), r"series\[0\]: bypass is the error-free reference: give it bers"),
        ('profile = "resnet9"' + GRID + ONE, "profile: there is no 'resnet9': there are resnet18"),
    ],
)
def test_a_slip_is_one_line_that_says_where(toy_folder: Path, tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as refused:
        resolve(read_spec(written(tmp_path, text)), read_manifest("resnet18", toy_folder), sorted_images(5), "cpu")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere.toml cannot be read: No such file"):
        read_spec(tmp_path / "nowhere.toml")


def test_a_system_without_its_weights(toy_folder: Path, tmp_path: Path) -> None:
    manifest = read_manifest("resnet18", toy_folder)
    parts = {name: part for name, part in manifest.parts.items() if not name.startswith("cnn")}
    spec = read_spec(written(tmp_path, GRID + ONE.replace("snn-sc-harq", "cnn-1bit") + "t = [1]"))
    with pytest.raises(SpecError, match=r"profile resnet18 does not serve cnn-1bit: it lacks cnn-1bit-encoder"):
        resolve(spec, manifest.model_copy(update={"parts": parts}), sorted_images(5), cpu_arithmetic("resnet18"))


def test_a_sweep_is_what_it_is_made_of(toy_folder: Path) -> None:
    images, manifest = sorted_images(5), read_manifest("resnet18", toy_folder)
    spec = Spec.model_validate_json(
        '{"bers": [0.1], "seeds": [1], "series": [{"system": "multi-rate", "t": [4]}], '
        '"images": {"data_set": "cifar100-test"}, "unit_images": 2}'
    )
    record = resolve(spec, manifest, images, cpu_arithmetic("resnet18"))
    units = {unit.name for unit in record.units()}

    def other(**changes: object) -> Record:
        return resolve(spec.model_copy(update=changes), manifest, images, cpu_arithmetic("resnet18"))

    # Another name is another sweep of the same units; another way to the same images is the same sweep.
    assert other(name="x").id != record.id
    assert {unit.name for unit in other(name="x").units()} == units
    assert other(images=Images(data_set="cifar100-validation")).id == record.id
    for changed in (other(seeds=(2,)), other(unit_images=3), other(bers=(0.2,)), other(stop_at_half_width=1.0)):
        assert changed.id != record.id
    # What the system does not use may change, what it uses may not.
    trained = {**manifest.parts, "prior": manifest.parts["head"]}
    assert (
        resolve(spec, manifest.model_copy(update={"parts": trained}), images, cpu_arithmetic("resnet18")).id
        == record.id
    )
    tuned = manifest.model_copy(update={"parts": {**manifest.parts, "head": manifest.parts["prior"]}})
    changes = {
        "weights": resolve(spec, tuned, images, cpu_arithmetic("resnet18")),
        "images": resolve(
            spec, manifest, LabelledImages(images.images_NCHW, images.labels_N + 1), cpu_arithmetic("resnet18")
        ),
        "cuda": resolve(spec, manifest, images, "cuda bfloat16 tile 16"),
    }
    for what, changed in changes.items():
        assert not units & {unit.name for unit in changed.units()}
        assert what in (difference(record, changed) or "")
    assert difference(record, record.model_copy(update={"version": "9"})) is None


def test_default_thresholds_that_changed_are_noticed() -> None:
    record = made_record(sorted_images(4))
    moved = tuple(Point(system=point.system, theta=0.6, t=None, ber=point.ber) for point in record.points)
    assert "thresholds" in (difference(record, record.model_copy(update={"points": moved})) or "")


# Images -----------------------------------------------------------------------------------------------------------


def test_a_range_goes_by_id_and_not_by_the_file(tmp_path: Path) -> None:
    images = write_toy_test_set(tmp_path, 9)
    found = load_images(Images(data_set="cifar100-test", first=2, count=5), tmp_path)
    assert found.ids() == sorted(images.ids())[2:7]
    label_of = dict(zip(images.ids(), images.labels_N.tolist(), strict=True))
    assert found.labels_N.tolist() == [label_of[name] for name in found.ids()]
    assert load_images(Images(data_set="cifar100-test", first=7), tmp_path).ids() == sorted(images.ids())[7:]
    with pytest.raises(SpecError, match="cifar100-test has 9 images, too few for 5 from 5 on"):
        load_images(Images(data_set="cifar100-test", first=5, count=5), tmp_path)
    with pytest.raises(SpecError, match="too few for 1 from 9 on"):
        load_images(Images(data_set="cifar100-test", first=9), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures of two classes, one of them a JPEG of another size."""
    for index, image in enumerate(toy_images(4, seed=9)):
        file = tmp_path / "pictures" / ("rocket", "cup")[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    Image.new("RGB", (50, 40), "red").save(tmp_path / "pictures" / "cup" / "red.jpg")
    (tmp_path / "pictures" / ".DS_Store").write_bytes(b"")
    return tmp_path / "pictures"


def test_a_folder_is_labelled_by_its_folders(folder: Path) -> None:
    images = load_images(Images(folder=folder), folder)
    pixels = toy_images(4, seed=9)
    expected = {image_id(image): CLASS_NAMES.index(("rocket", "cup")[i % 2]) for i, image in enumerate(pixels)}
    found = dict(zip(images.ids(), images.labels_N.tolist(), strict=True))
    assert list(found) == sorted(found)
    assert expected.items() <= found.items()
    assert len(found) == 5


def test_a_folder_lies_where_the_file_says(folder: Path) -> None:
    grid = GRID.replace('data_set = "cifar100-test"', 'folder = "pictures"')
    spec = read_spec(written(folder.parent, grid + ONE))
    assert spec.images.folder == folder.resolve()


def test_what_is_no_labelled_image_is_named(folder: Path) -> None:
    def says(match: str, place: Path = folder) -> None:
        with pytest.raises(SpecError, match=match):
            load_images(Images(folder=place), place)

    says("there is no folder", folder / "nowhere")
    says("is no folder", folder / "cup")
    (folder / "cup" / "notes.txt").write_text("no image")
    says(r"notes\.txt: content type 'unknown' is not one of")
    (folder / "cup" / "notes.txt").write_bytes((folder / "cup" / "1.png").read_bytes()[:200])
    says(r"notes\.txt: the image is damaged or cut off")
    (folder / "cup" / "notes.txt").unlink()
    (folder / "teapot").mkdir()
    says("teapot is named by none of CIFAR-100's classes")
    shutil.rmtree(folder)
    folder.mkdir()
    says("has no images")


def test_what_looks_the_same_is_sent_once() -> None:
    from experiments.sweeps.engine import Answer, Task

    images = sorted_images(3)
    twins = LabelledImages(images.images_NCHW[[0, 0, 1, 2, 2, 2]], np.array([1, 2, 3, 4, 5, 6]))
    task = Task("resnet18", Point(system="multi-rate", theta=None, t=4, ber=0.1), 1, twins)
    sent, blocks = task.distinct()
    assert sent.tolist() == images.images_NCHW.tolist()
    assert blocks == sorted(set(blocks))
    result = task.result([Answer(2, 10), Answer(0, 20), Answer(6, 30)])
    assert result.class_indices == (2, 2, 0, 6, 6, 6)
    assert result.correct == (False, True, False, False, False, True)
    assert result.bits == (10, 10, 20, 30, 30, 30)
