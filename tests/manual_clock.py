# SPDX-License-Identifier: Apache-2.0
"""Time as a number that a test advances."""


class ManualClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
