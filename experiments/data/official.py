# SPDX-License-Identifier: Apache-2.0
"""The official versions of CIFAR-100 that can be read: their archives, check sums and file names.

Check sums are those of the table on the data set's home page.
"""

from dataclasses import dataclass
from typing import Final, Literal

HOME_PAGE: Final = "https://www.cs.toronto.edu/~kriz/cifar.html"
BINARY_URL: Final = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
Split = Literal["train", "validation", "test"]
Half = Literal["train", "test"]

#: Images in each split; the validation images are part of the official training set.
IMAGES: Final[dict[Split, int]] = {"train": 47_500, "validation": 2_500, "test": 10_000}


class DataSetMissingError(Exception):
    """The data set is not where it was looked for, or is damaged; the message is one line that says what to do."""


@dataclass(frozen=True)
class Version:
    """One version: the folder that its archive unpacks to, the archive's md5, and the files in it."""

    folder: str
    md5: str
    train: str
    test: str
    class_names: str

    @property
    def archive(self) -> str:
        return f"{self.folder}.tar.gz"

    def file(self, half: Half) -> str:
        """The file that holds the official training or test set."""
        return self.test if half == "test" else self.train


BINARY: Final = Version(
    "cifar-100-binary", "03b5dce01913d631647c71ecec9e9cb8", "train.bin", "test.bin", "fine_label_names.txt"
)
PYTHON: Final = Version("cifar-100-python", "eb9058c3a382ffc7106e4002c42a8d85", "train", "test", "meta")
VERSIONS: Final = (BINARY, PYTHON)


def half_of(split: Split) -> Half:
    """The official set that a split is taken from."""
    return "test" if split == "test" else "train"
