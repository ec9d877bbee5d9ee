# SPDX-License-Identifier: Apache-2.0
"""The codecs: a small class a side and a row of the catalogue each. A system (models/systems.py) names its codec."""

from typing import Final

from models.catalogue import by_name
from models.codecs.cnn_1bit import CNN_1BIT
from models.codecs.codec import Checked, CloudHalf, Codec, EdgeHalf, PartFactory, State, Steps, Whole, rows_of
from models.codecs.snn_sc import SNN_SC
from models.codecs.snn_sc_ldpc import SNN_SC_LDPC
from models.codecs.uncompressed import UNCOMPRESSED

CODECS: Final = by_name(SNN_SC, SNN_SC_LDPC, CNN_1BIT, UNCOMPRESSED)

__all__ = [
    "CNN_1BIT", "CODECS", "SNN_SC", "SNN_SC_LDPC", "UNCOMPRESSED",
    "Checked", "CloudHalf", "Codec", "EdgeHalf", "PartFactory", "State", "Steps", "Whole", "rows_of",
]  # fmt: skip
