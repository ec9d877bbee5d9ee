# SPDX-License-Identifier: Apache-2.0
"""CIFAR-100 as its official archives hold it: either version, packed or not, gives the same images and labels by id."""

import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cifar_archives import (
    Images,
    binary_files,
    md5_of,
    packed,
    python2_pickle,
    python_files,
    shuffled,
    some_images,
    write_folder,
)
from typer.testing import CliRunner

from cli.app import main
from experiments.data import cifar100, official
from experiments.data.cifar100 import DataSetMissingError
from models.labels import CLASS_NAMES

TRAIN, TEST = some_images(300, 0), some_images(100, 1)
BINARY, PYTHON = binary_files(TRAIN, TEST), python_files(shuffled(TRAIN, 2), shuffled(TEST, 3))
CIFAR = Path(os.environ.get("SPIKELINK_DATA", Path(__file__).resolve().parents[1] / "data" / "cifar-100-binary"))


def register(monkeypatch: pytest.MonkeyPatch, binary: bytes, python: bytes) -> None:
    """Let these archives be the official ones."""
    versions = (replace(official.BINARY, md5=md5_of(binary)), replace(official.PYTHON, md5=md5_of(python)))
    monkeypatch.setattr(official, "VERSIONS", versions)


#: What lies where, and which path is given.
FORMS = {
    "binary folder": ("x/", BINARY, "x"),
    "python folder": ("x/", PYTHON, "x"),
    "python folder, arrays in Fortran's order": ("x/", python_files(shuffled(TRAIN, 4), TEST, order="F"), "x"),
    "folder above the binary folder": ("cifar-100-binary/", BINARY, "."),
    "folder above the python folder": ("cifar-100-python/", PYTHON, "."),
    "folder with the binary archive": ("cifar-100-binary.tar.gz", packed("cifar-100-binary", BINARY), "."),
    "folder with the python archive": ("cifar-100-python.tar.gz", packed("cifar-100-python", PYTHON), "."),
    "binary archive": ("cifar-100-binary.tar.gz", packed("cifar-100-binary", BINARY), "cifar-100-binary.tar.gz"),
    "python archive, renamed": ("download", packed("./cifar-100-python", PYTHON), "download"),
}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The data set in one of its forms."""
    path, content, given = FORMS[request.param]
    if isinstance(content, dict):
        write_folder(tmp_path / path, content)
    else:
        (tmp_path / path).write_bytes(content)
        register(monkeypatch, *((content, b"") if "binary" in request.param else (b"", content)))
    return tmp_path / given


def by_id(images: Images) -> list[tuple[str, int]]:
    """Pairs, because the real data set has images twice, with different labels."""
    return pairs(cifar100.LabelledImages(images[0].reshape(-1, 3, 32, 32), images[1]))


def pairs(images: cifar100.LabelledImages) -> list[tuple[str, int]]:
    return sorted(zip(images.ids(), images.labels_N.tolist(), strict=True))


@pytest.mark.parametrize("source", FORMS, indirect=True)
def test_every_form_holds_the_same_images_and_labels(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = {name[:16] for name, _ in by_id(TRAIN)[:30]}
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: frozenset(held_out))
    read = {split: cifar100.load(source, split) for split in ("train", "validation", "test")}
    assert {split: len(images) for split, images in read.items()} == {"train": 270, "validation": 30, "test": 100}
    for images in read.values():
        assert (images.images_NCHW.dtype, images.labels_N.dtype) == (np.uint8, np.int64)
        assert images.images_NCHW.flags.writeable  # or else torch.from_numpy warns
    assert pairs(read["test"]) == by_id(TEST)
    assert sorted(pairs(read["train"]) + pairs(read["validation"])) == by_id(TRAIN)
    assert {name[:16] for name in read["validation"].ids()} == held_out
    monkeypatch.setattr(official, "IMAGES", {"train": 270, "validation": 30, "test": 100})
    assert cifar100.check(source) == official.IMAGES
    assert cifar100.is_there(source, "validation")


def test_the_two_versions_differ_in_order(tmp_path: Path) -> None:
    binary, python = write_folder(tmp_path / "b", BINARY), write_folder(tmp_path / "p", PYTHON)
    left, right = cifar100.load(binary, "test"), cifar100.load(python, "test")
    assert left.ids() != right.ids()
    assert sorted(left.ids()) == sorted(right.ids())


@pytest.mark.skipif(not cifar100.is_there(CIFAR, "test"), reason=f"needs CIFAR-100 in {CIFAR} (or SPIKELINK_DATA)")
def test_the_real_test_set_is_the_same_in_the_python_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cifar100.load(CIFAR, "test")
    images = shuffled((real.images_NCHW.reshape(-1, 3072), real.labels_N), 6)
    files = python_files(some_images(100, 0), images)
    archive = packed("cifar-100-python", files)
    register(monkeypatch, b"", archive)
    (tmp_path / "a.tar.gz").write_bytes(archive)
    for place in (write_folder(tmp_path / "folder", files), tmp_path / "a.tar.gz"):
        again = cifar100.load(place, "test")
        assert again.ids() != real.ids()
        assert pairs(again) == pairs(real)
        assert np.bincount(again.labels_N).tolist() == [100] * 100


def test_files_come_before_archives_and_each_half_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed("cifar-100-python", PYTHON)
    register(monkeypatch, b"", archive)
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(archive)
    write_folder(tmp_path / "cifar-100-binary", {"test.bin": BINARY["test.bin"]})
    assert cifar100.load(tmp_path, "test").labels_N.tolist() == TEST[1].tolist()  # in the binary files' order
    assert len(cifar100.load(tmp_path, "train")) == 300


class Call:
    """Pickles as a call of a function, which a plain unpickler makes."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


def harmful(touched: Path) -> dict[str, bytes]:
    """Pickles that would make the file ``touched``, or get at what could."""
    command = f"touch {touched}"
    proper = python2_pickle({"fine_labels": [0], "data": np.zeros((1, 3072), np.uint8)})
    return {
        **{f"system {p}": pickle.dumps({b"data": Call(os.system, command)}, protocol=p) for p in range(6)},
        "exec": pickle.dumps(Call(exec, f"import pathlib; pathlib.Path({str(touched)!r}).touch()"), protocol=2),
        "getattr": pickle.dumps(Call(getattr, Path, "touch"), protocol=4),
        "by hand": b"cposix\nsystem\n(S'" + command.encode() + b"'\ntR.",
        "instance": b"(S'" + command.encode() + b"'\niposix\nsystem\n.",
        "new object": b"\x80\x02csubprocess\nPopen\n(S'" + command.encode() + b"'\nt\x81.",
        "other parts of numpy": b"cnumpy\nload\n(S'x'\ntR.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.tofile\x93.",
        "persistent": b"Pposix\n.",
        "extension": b"\x80\x02\x82\x01.",
        "state of a class": proper.replace(b"cnumpy\nndarray\n", b"cnumpy\nndarray\n}U\x01aK\x01sb"),
    }


@pytest.mark.parametrize("name", sorted(harmful(Path("x"))))
@pytest.mark.parametrize("file", ["test", "meta"])
def test_a_harmful_pickle_is_refused_and_not_run(tmp_path: Path, name: str, file: str) -> None:
    touched = tmp_path / "touched"
    folder = write_folder(tmp_path / "folder", {**PYTHON, file: harmful(touched)[name]})
    with pytest.raises(DataSetMissingError, match=r"^.*folder/(test|meta) is damaged, or not CIFAR-100's: .*$"):
        cifar100.load(folder, "test")
    assert not touched.exists()


def test_the_harmful_pickles_do_harm_elsewhere(tmp_path: Path) -> None:
    """The test above would prove nothing with pickles that are merely broken."""
    for name in ("system 0", "system 5", "by hand", "instance", "exec"):
        touched = tmp_path / name.replace(" ", "-")
        pickle.loads(harmful(touched)[name])
        assert touched.exists(), name


def array(**changed: object) -> bytes:
    fields = {"fine_labels": [1, 2], "data": np.zeros((2, 3072), np.uint8)} | changed
    return python2_pickle({name: value for name, value in fields.items() if value is not None})


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "no pickle of CIFAR-100 (EOFError)"),
        (b"not a pickle", "no pickle of CIFAR-100"),
        (PYTHON["test"][:-7], "no pickle of CIFAR-100"),
        (PYTHON["test"][:200_000], "no pickle of CIFAR-100"),
        (python2_pickle([1, 2]), "no dictionary"),
        (array(data=None), "it has no data and fine_labels"),
        (array(fine_labels=None), "it has no data and fine_labels"),
        (array(data=b"\0" * 6144), "it has no data and fine_labels"),
        (array(fine_labels=[1, "2"]), "not all integers"),
        (array(fine_labels=[1]), "it has 1 labels and 2 images"),
        (array(fine_labels=[], data=np.zeros((0, 3072), np.uint8)), "it has 0 labels and 0 images"),
        (array(fine_labels=[1, 100]), "a label is outside 0..99"),
        (array(fine_labels=[-1, 1]), "a label is outside 0..99"),
        (array(data=np.zeros((2, 3071), np.uint8)), "no array of 3072 bytes an image"),
        (array(data=np.zeros((2, 1536), np.uint16)), "no array of 3072 bytes an image"),
        (array(data=np.zeros(6144, np.uint8)), "no array of 3072 bytes an image"),
        (array().replace(b"K\x02M\x00\x0c\x86", b"K\x03M\x00\x0c\x86"), "no array of 3072 bytes an image"),
    ],
)
def test_a_damaged_python_file_is_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    folder = write_folder(tmp_path / "folder", {**PYTHON, "test": content})
    with pytest.raises(DataSetMissingError) as caught:
        cifar100.load(folder, "test")
    assert part in str(caught.value)
    assert str(caught.value).startswith(f"{folder}/test is damaged")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "it has 0 labels and 0 images"),
        (BINARY["test.bin"][:-1], "its 307,399 bytes are not a whole number of 3074-byte records"),
        (bytes([0, 100]) + bytes(3072), "a label is outside 0..99"),
    ],
)
def test_a_damaged_binary_file_is_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    folder = write_folder(tmp_path / "folder", {**BINARY, "test.bin": content})
    with pytest.raises(DataSetMissingError, match=f"test.bin is damaged, or not CIFAR-100's: {part}"):
        cifar100.load(folder, "test")


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    names = [CLASS_NAMES[1], CLASS_NAMES[0], *CLASS_NAMES[2:]]
    binary = write_folder(tmp_path / "b", {**BINARY, "fine_label_names.txt": "\n".join(names).encode()})
    python = write_folder(tmp_path / "p", {**PYTHON, "meta": python2_pickle({"fine_label_names": names})})
    for folder in (binary, python):
        with pytest.raises(DataSetMissingError, match="not CIFAR-100's classes in their order"):
            cifar100.load(folder, "test")


def test_an_archive_with_another_md5_is_refused(tmp_path: Path) -> None:
    content = packed("cifar-100-binary", BINARY)
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(content)
    for source in (path, tmp_path):
        with pytest.raises(DataSetMissingError, match="no official archive") as caught:
            cifar100.load(source, "test")
        for part in (md5_of(content), "03b5dce01913d631647c71ecec9e9cb8", "eb9058c3a382ffc7106e4002c42a8d85"):
            assert part in str(caught.value)


@pytest.mark.parametrize("kept", [10, 5000, -100])
def test_an_archive_that_breaks_off_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    content = packed("cifar-100-binary", BINARY)[:kept]
    register(monkeypatch, content, b"")
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataSetMissingError, match=r"^.*/a (is damaged|cannot be read): .*$|there is no"):
        cifar100.load(tmp_path / "a", "test")


def test_links_inside_an_archive_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "elsewhere", BINARY)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        link = tarfile.TarInfo("cifar-100-binary/test.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere" / "test.bin")
        tar.addfile(link)
    register(monkeypatch, stream.getvalue(), b"")
    (tmp_path / "a").write_bytes(stream.getvalue())
    with pytest.raises(DataSetMissingError, match="it is absent"):
        cifar100.load(tmp_path / "a", "test")


def test_what_was_looked_for_is_named(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataSetMissingError) as caught:
            cifar100.load(source, "train")
        assert str(caught.value) == (
            f"no CIFAR-100 training set in {source}: looked for train.bin (cifar-100-binary), "
            "train (cifar-100-python), cifar-100-binary.tar.gz and cifar-100-python.tar.gz; "
            "get it by 'spikelink data fetch' or from https://www.cs.toronto.edu/~kriz/cifar.html, "
            "and name its folder or archive with --data"
        )
        assert not cifar100.is_there(source, "train")


def test_verify_tells_the_whole_from_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "IMAGES", {"train": 300, "validation": 0, "test": 100})
    folder = write_folder(tmp_path / "folder", BINARY)
    done = CliRunner().invoke(main, ["data", "verify", str(folder)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"CIFAR-100 is in {folder}: 300 train, 0 validation, 100 test images\n"
    for kept, part in ((100, "has 300 train, 0 validation, 100 test"), (99, "its test set have 0 to 1 images")):
        (folder / "test.bin").write_bytes(BINARY["test.bin"][: 3074 * kept])
        monkeypatch.setattr(official, "IMAGES", {"train": 47_500, "validation": 2_500, "test": 10_000})
        done = CliRunner().invoke(main, ["data", "verify"], env={"SPIKELINK_DATA": str(folder)})
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert part in done.stderr
