# SPDX-License-Identifier: Apache-2.0
"""Which model drew the noise of a frame: the cloud, which combines the first try that reaches it, is told p alone."""

from collections import OrderedDict
from typing import Final

from service.wire import FrameHead

#: Frames that are remembered, some 200 bytes each. A repetition follows its try within seconds.
_REMEMBERED: Final = 4096


class Tries:
    """The model by frame and p, of the frames that came last; the first's of tries that differ in their model alone."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._models: OrderedDict[tuple[str, int], dict[float, str]] = OrderedDict()

    def note(self, head: FrameHead, crossover: float, model: str) -> None:
        """A frame is about to be sent, for the first time or again."""
        frame = (head.session, head.round)
        self._models.setdefault(frame, {}).setdefault(crossover, model)
        self._models.move_to_end(frame)
        if len(self._models) > self._remembered:
            self._models.popitem(last=False)

    def model(self, head: FrameHead, crossover: float) -> str | None:
        """With which a frame was sent at this p; None where that is not known any more."""
        return self._models.get((head.session, head.round), {}).get(crossover)
