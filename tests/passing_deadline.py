# SPDX-License-Identifier: Apache-2.0
"""A deadline that a test lets pass."""

from collections.abc import Callable
from dataclasses import dataclass

from nodes import PATIENCE_S

from service.hop import Deadline


@dataclass(frozen=True)
class Passing(Deadline):
    """Passes when the condition comes true."""

    passed: Callable[[], bool] = lambda: False

    @property
    def left_s(self) -> float:
        return -1.0 if self.passed() else PATIENCE_S
