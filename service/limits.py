# SPDX-License-Identifier: Apache-2.0
"""How many requests a caller may send: a token bucket each, in this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Callers that are remembered. Whoever has been silent for longest is forgotten first, and starts afresh.
MOST_CALLERS: Final = 10_000


@dataclass
class _Bucket:
    level: float
    at_s: float


class Allowance:
    """``count`` requests of each caller in ``period_s`` on average, and as many at once, at least one.

    Not safe between threads; the event loop is one.
    """

    def __init__(self, count: float, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.count, self.period_s = count, period_s
        self._most = max(1.0, count)
        self._per_s = count / period_s
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take one request of a caller's -> 0, or the seconds until there is one; then nothing is taken."""
        now_s = self._clock()
        bucket = self._buckets.setdefault(caller, _Bucket(self._most, now_s))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        bucket.level = min(self._most, bucket.level + self._per_s * (now_s - bucket.at_s))
        bucket.at_s = now_s
        if bucket.level < 1:
            return (1 - bucket.level) / self._per_s
        bucket.level -= 1
        return 0.0
