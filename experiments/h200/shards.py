# SPDX-License-Identifier: Apache-2.0
"""CIFAR-100 in parts that are small enough to be carried one by one: lossless sheets of 5,000 images.

python -m experiments.h200.shards pack DATA FOLDER PARTS    train.bin, test.bin -> FOLDER/part-1 .. part-PARTS
python -m experiments.h200.shards unpack FOLDER DATA        all sheets in FOLDER -> train.bin, test.bin, as they were
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.data.cifar100 import RECORD_BYTES
from experiments.whole_files import whole_file

_SHEET_IMAGES = 5000
_COLUMNS = 100
_LABEL_BYTES = 2


def pack(data: Path, folder: Path, parts: int) -> None:
    """Each sheet is one WebP file with its labels beside it; sheets go to the parts in turn."""
    index = 0
    for split in ("train", "test"):
        path = data / f"{split}.bin"
        if not path.is_file():
            continue
        records = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD_BYTES)
        whole = {"split": split, "sha256": sha256(records.data).hexdigest()}
        sheets = range(0, len(records), _SHEET_IMAGES)
        for number, start in enumerate(sheets):
            chosen, part = records[start : start + _SHEET_IMAGES], folder / f"part-{index % parts + 1}"
            part.mkdir(parents=True, exist_ok=True)
            name = f"{split}-{number:02}"
            Image.fromarray(_sheet(chosen[:, _LABEL_BYTES:])).save(part / f"{name}.webp", lossless=True)
            about = {**whole, "sheets": len(sheets), "labels": chosen[:, :_LABEL_BYTES].tolist()}
            (part / f"{name}.json").write_text(json.dumps(about))
            index += 1


def unpack(folder: Path, data: Path) -> None:
    """Raises ValueError where a sheet is missing or the records are not those that were packed."""
    found = {path.stem: json.loads(path.read_text()) for path in folder.rglob("*.json")}
    if not found:
        raise ValueError(f"no sheets in {folder}: carry the parts")
    for split in sorted({about["split"] for about in found.values()}):
        sheets = {name: about for name, about in sorted(found.items()) if about["split"] == split}
        first = next(iter(sheets.values()))
        if len(sheets) != first["sheets"]:
            raise ValueError(f"{len(sheets)} of {first['sheets']} sheets of {split} in {folder}: carry the other parts")
        records = np.concatenate([_records(next(folder.rglob(f"{name}.webp")), sheets[name]) for name in sheets])
        if sha256(records.data).hexdigest() != first["sha256"]:
            raise ValueError(f"the sheets of {split} are not those that were packed together")
        with whole_file(data / f"{split}.bin") as partial:
            records.tofile(partial)


def _sheet(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels [N, 3072] -> a picture of rows of 100 images, the last row filled up with black."""
    rows = -(-len(pixels) // _COLUMNS)
    tiles = np.zeros((rows * _COLUMNS, 3, 32, 32), np.uint8)
    tiles[: len(pixels)] = pixels.reshape(-1, 3, 32, 32)
    by_row = tiles.reshape(rows, _COLUMNS, 3, 32, 32).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(by_row.reshape(32 * rows, 32 * _COLUMNS, 3))


def _records(path: Path, about: dict[str, list[list[int]]]) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    rows = len(pixels) // 32
    tiles = pixels.reshape(rows, 32, _COLUMNS, 32, 3).transpose(0, 2, 4, 1, 3).reshape(rows * _COLUMNS, -1)
    labels = np.array(about["labels"], dtype=np.uint8)
    return np.ascontiguousarray(np.concatenate((labels, tiles[: len(labels)]), axis=1))


def main() -> None:
    match sys.argv[1:]:
        case ["pack", data, folder, parts]:
            pack(Path(data), Path(folder), int(parts))
        case ["unpack", folder, data]:
            unpack(Path(folder), Path(data))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
