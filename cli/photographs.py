# SPDX-License-Identifier: Apache-2.0
"""Real pictures for the demonstration: photographs inside scikit-image's package."""

import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.failures import CommandError

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[int, int, int, int]

#: Files that the wheel itself carries: the class of CIFAR-100 that each shows, and the square around it (left, top,
#: right, bottom). An object fills its picture in CIFAR-100 and not in these: uncropped, one of the four is recognised.
#: The squares were drawn by hand once, after that was seen, and not adjusted since.
_FILES: Final[dict[str, tuple[str, Box]]] = {
    "rocket.jpg": ("rocket", (179, 118, 469, 408)),
    "coffee.png": ("cup", (150, 5, 430, 285)),
    "astronaut.png": ("woman", (127, 0, 327, 200)),
    "motorcycle_left.png": ("motorcycle", (140, 0, 640, 500)),
}


@dataclass(frozen=True)
class Photograph:
    """A picture and what it shows."""

    path: Path
    label: str
    box: Box

    def cropped(self) -> bytes:
        """The square around the object, as a PNG file."""
        from PIL import Image

        with Image.open(self.path) as image:
            return _png(image.crop(self.box))


def photographs() -> list[Photograph]:
    """The photographs, where scikit-image is installed; it is not imported. Raises CommandError."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise CommandError("the photographs come with scikit-image: pip install 'spikelink[demo]'")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise CommandError(f"this scikit-image lacks {', '.join(missing)} in {folder}: install scikit-image==0.26.0")
    return [Photograph(folder / name, label, box) for name, (label, box) in _FILES.items()]


def write_by_class(pictures: list[Photograph], folder: Path) -> None:
    """The squares as files in folders named by class, which is how a sweep takes images of one's own."""
    for picture in pictures:
        place = folder / picture.label
        place.mkdir()
        (place / f"{picture.path.stem}.png").write_bytes(picture.cropped())


def _png(image: "Image.Image") -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
