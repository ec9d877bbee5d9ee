# SPDX-License-Identifier: Apache-2.0
"""What a unit leaves behind of each of its images. Everything else, rounds included, follows from it."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class UnitResult:
    """By image, in the order of the sweep: the class answered, whether it is right, payload bits on the forward link.

    Whoever reads results has no labels, so ``correct`` is kept beside the class.
    """

    class_indices: tuple[int, ...]
    correct: tuple[bool, ...]
    bits: tuple[int, ...]

    def to_bytes(self) -> bytes:
        right = "".join("01"[correct] for correct in self.correct)
        content = {"class_indices": self.class_indices, "correct": right, "bits": self.bits}
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "UnitResult":
        fields = json.loads(content)
        correct = tuple(sign == "1" for sign in fields["correct"])
        return cls(tuple(fields["class_indices"]), correct, tuple(fields["bits"]))
