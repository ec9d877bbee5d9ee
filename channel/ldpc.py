# SPDX-License-Identifier: Apache-2.0
"""5G LDPC with CRC24A and incremental redundancy by prefixes of one codeword, on Sionna.

Shapes   B blocks, K = 1,536 information bits, N coded bits, the first ones of at most 4,128; llr_BN [B, N].
Units    bits in {0, 1}; llr = log p(b=1)/p(b=0), natural logarithm, Sionna's sign; crossover probability p in [0, 0.5].
Math     D1  llr = (2 y - 1) log((1 - p) / p), each bit with the p of the frame that brought it
Source   3GPP TS 38.212, sections 5.1 and 5.3.2; sionna.phy.fec 2.2.0, flooding belief propagation, boxplus-phi.
Differs  The base graph is pinned, since Sionna's own choice by rate would make the codes of two lengths no prefixes of
         each other. Decoding ends early where the CRC holds. See docs/decisions/0012.
"""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from channel.bits import Bits

INFORMATION_BITS: Final = 1536
CRC_BITS: Final = 24
#: The codeword, and what of it each retransmission completes: 2,080, 2,592 ... 4,128 bits.
CODED_BITS: Final = 4128
PREFIX_BITS: Final = tuple(range(2080, CODED_BITS + 1, 512))

BASE_GRAPH: Final = "bg1"
MAX_ITERATIONS: Final = 20
#: Iterations between two looks at the CRC.
_STRIDE: Final = 4
#: A p below this counts as this, so that its LLR is finite: 13.8, where Sionna clips messages at 20.
_LEAST_CROSSOVER: Final = 1e-6

Llr = NDArray[np.float32]


@dataclass(frozen=True)
class Decoded:
    """Hard-decided information bits_BK [B, 1536], right or wrong, and whether each block's CRC holds."""

    bits_BK: Bits
    crc_ok_B: NDArray[np.bool_]


def bsc_llr(bits_BN: Bits, crossover_B: NDArray[np.float64]) -> Llr:
    """Eq. D1 for received bits_BN [B, N] in {0, 1} that crossed a channel with p_B [B] -> llr_BN, finite."""
    p_B1 = np.clip(crossover_B, _LEAST_CROSSOVER, 0.5)[:, None]
    return ((2.0 * bits_BN - 1.0) * np.log((1.0 - p_B1) / p_B1)).astype(np.float32)


class PrefixLdpc:
    """One mother code and a decoder for each prefix; on the CPU, whatever the networks run on.

    A decoder leaves out the checks of parity bits that were not sent, which with LLR 0 would say nothing. Blocks are
    decoded one by one: on a CPU that costs no time, and what else is in a batch cannot show in the result. Threads take
    turns, for Sionna's blocks were not made to be shared.
    """

    def __init__(self) -> None:
        import torch

        with torch.random.fork_rng(devices=[]):  # importing Sionna reseeds PyTorch's generator
            from sionna.phy.fec.crc import CRCDecoder, CRCEncoder
            from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

        def encoder(coded_bits: int) -> Any:
            return LDPC5GEncoder(INFORMATION_BITS + CRC_BITS, coded_bits, bg=BASE_GRAPH, device="cpu")

        self._torch, self._lock = torch, threading.Lock()
        self._crc = CRCEncoder("CRC24A", k=INFORMATION_BITS, device="cpu")
        self._crc_check = CRCDecoder(self._crc, device="cpu")
        self._encoder = encoder(CODED_BITS)
        self._decoders = {
            bits: LDPC5GDecoder(encoder(bits), cn_update="boxplus-phi", return_state=True, device="cpu")
            for bits in PREFIX_BITS
        }
        # Sionna's blocks build themselves in their first call: here, so that later calls change nothing.
        word_BN = self.encode(np.zeros((1, INFORMATION_BITS), dtype=np.uint8))
        for bits in PREFIX_BITS:
            self.decode(bsc_llr(word_BN[:, :bits], np.zeros(1)))

    def encode(self, bits_BK: Bits) -> Bits:
        """Information bits [B, 1536] -> CRC attached, codeword_BN [B, 4128]."""
        with self._lock, self._torch.inference_mode():
            word_BN = self._encoder(self._crc(self._torch.from_numpy(bits_BK.astype(np.float32))))
        coded: Bits = word_BN.to(self._torch.uint8).numpy()
        return coded

    def decode(self, llr_BN: Llr) -> Decoded:
        """LLRs of the first N bits of codewords; N is one of PREFIX_BITS. Raises KeyError for another N."""
        decoder = self._decoders[llr_BN.shape[1]]
        rows_BN = self._torch.from_numpy(llr_BN)
        with self._lock, self._torch.inference_mode():
            blocks = [self._decode_one(decoder, rows_BN[row : row + 1]) for row in range(len(llr_BN))]
        return Decoded(np.concatenate([bits for bits, _ in blocks]), np.array([ok for _, ok in blocks]))

    def _decode_one(self, decoder: Any, llr_1N: Any) -> tuple[Bits, bool]:
        messages, done, crc_ok = None, 0, False
        while done < MAX_ITERATIONS and not crc_ok:
            word_1K, messages = decoder(llr_1N, num_iter=_STRIDE, msg_v2c=messages)
            bits_1K, valid = self._crc_check(word_1K)
            done, crc_ok = done + _STRIDE, bool(valid)
        return bits_1K.to(self._torch.uint8).numpy(), crc_ok


_making: Final = threading.Lock()


def prefix_ldpc() -> PrefixLdpc:
    """The code, made at first use: Sionna takes seconds to import, and only one system needs it."""
    with _making:
        return _made()


@cache
def _made() -> PrefixLdpc:
    return PrefixLdpc()
