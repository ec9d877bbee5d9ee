# SPDX-License-Identifier: Apache-2.0
"""When the requests of an open loop are due: decided beforehand, whatever becomes of the ones before."""

from typing import Literal

import numpy as np

Arrivals = Literal["poisson", "uniform"]


def schedule(arrivals: Arrivals, rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Ascending times in seconds from the start, ``rate_per_s * duration_s`` of them (rounded, at least one).

    The number is fixed, so that a level offers what it says: given their number, the arrivals of a Poisson process
    are independent and uniform over the time.
    """
    count = max(1, round(rate_per_s * duration_s))
    if arrivals == "uniform":
        return [index * duration_s / count for index in range(count)]
    drawn = np.random.default_rng(seed).uniform(0.0, duration_s, count)
    return [float(due_s) for due_s in np.sort(drawn)]
