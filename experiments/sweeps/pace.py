# SPDX-License-Identifier: Apache-2.0
"""How fast a sweep goes: from how much was done at several times to images a second and the time left."""

from collections import deque
from dataclasses import dataclass
from typing import Final

#: Long enough to even out units of several seconds, short enough to follow a channel whose latency is changed.
WINDOW_S: Final = 60.0


@dataclass(frozen=True)
class Speed:
    """An image counts once at each point and seed."""

    images_per_s: float
    left_s: float


@dataclass(frozen=True)
class _Seen:
    at_s: float
    units: int
    images: int


class Pace:
    """What has been done since it began to look, over the last ``WINDOW_S``. Times are a monotonic clock's."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque()

    def see(self, at_s: float, units: int, images: int) -> None:
        """So many are done now. The first call says from where to count."""
        self._seen.append(_Seen(at_s, units, images))
        while len(self._seen) > 2 and self._seen[1].at_s <= at_s - WINDOW_S:
            self._seen.popleft()

    def speed(self, units_left: int) -> Speed | None:
        """None as long as one cannot tell."""
        if not self._seen:
            return None
        first, last = self._seen[0], self._seen[-1]
        elapsed_s, units = last.at_s - first.at_s, last.units - first.units
        if elapsed_s <= 0 or units <= 0:
            return None
        return Speed((last.images - first.images) / elapsed_s, units_left * elapsed_s / units)
