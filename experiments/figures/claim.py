# SPDX-License-Identifier: Apache-2.0
"""A claim of the paper's beside our figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One row of the page."""

    claim: str
    paper: str
    ours: str
    difference: str
    why: str
