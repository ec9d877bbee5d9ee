# SPDX-License-Identifier: Apache-2.0
"""The LDPC code against Sionna used directly: codewords, LLRs, success rates, a BER curve; the batch does not show.

The success rates are those of docs/decisions/0012, measured on 96 codewords a point; the noise here is another.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from channel import ldpc
from channel.bits import Bits, pack, unpack
from channel.ldpc import CODED_BITS, CRC_BITS, INFORMATION_BITS, PREFIX_BITS, PrefixLdpc, bsc_llr, prefix_ldpc
from channel.transmission import transmit

CPU = "cpu"
SIGMAS = 4.0


@pytest.fixture(scope="module")
def code() -> PrefixLdpc:
    return prefix_ldpc()


@pytest.fixture(scope="module")
def words(code: PrefixLdpc) -> tuple[Bits, Bits]:
    """Information bits and codewords of 48 blocks."""
    bits_BK = np.random.default_rng(0).integers(0, 2, (48, INFORMATION_BITS)).astype(np.uint8)
    return bits_BK, code.encode(bits_BK)


def received(words_BN: Bits, coded_bits: int, p: float, seed: int = 5) -> NDArray[np.float32]:
    """LLRs of a prefix that crossed the keyed channel."""
    blocks = range(len(words_BN))
    arrived = transmit(pack(words_BN[:, :coded_bits]), p, seed=seed, blocks=blocks, position=0)
    return bsc_llr(unpack(arrived.payload, len(blocks)), np.full(len(blocks), p))


def sionna(coded_bits: int) -> Any:
    from sionna.phy.fec.ldpc import LDPC5GEncoder

    return LDPC5GEncoder(INFORMATION_BITS + CRC_BITS, coded_bits, bg=ldpc.BASE_GRAPH, device=CPU)


def with_crc(bits_BK: Bits) -> torch.Tensor:
    """The CRC by long division in GF(2), TS 38.212: g(D) = D^24 + D^23 + D^18 + D^17 + D^14 + ... + 1."""
    generator = np.zeros(CRC_BITS + 1, dtype=np.uint8)
    generator[[24 - degree for degree in (24, 23, 18, 17, 14, 11, 10, 7, 6, 5, 4, 3, 1, 0)]] = 1
    rest = np.concatenate((bits_BK, np.zeros((len(bits_BK), CRC_BITS), dtype=np.uint8)), axis=1)
    for i in range(bits_BK.shape[1]):
        rest[:, i : i + CRC_BITS + 1] ^= rest[:, i : i + 1] * generator
    return torch.from_numpy(np.concatenate((bits_BK, rest[:, -CRC_BITS:]), axis=1).astype(np.float32))


def test_sizes_are_the_systems() -> None:
    assert PREFIX_BITS == (2080, 2592, 3104, 3616, 4128)
    assert PREFIX_BITS[-1] == CODED_BITS


@pytest.mark.parametrize("coded_bits", PREFIX_BITS)
def test_a_prefix_is_sionnas_codeword_of_that_length(words: tuple[Bits, Bits], coded_bits: int) -> None:
    bits_BK, words_BN = words
    expected = sionna(coded_bits)(with_crc(bits_BK)).numpy().astype(np.uint8)
    assert np.array_equal(words_BN[:, :coded_bits], expected)


def test_llrs_have_sionnas_sign_and_size_and_are_finite() -> None:
    from sionna.phy.channel import BinarySymmetricChannel

    bits_BN = np.array([[0, 1, 1, 0]], dtype=np.uint8)
    for p in (0.01, 0.1, 0.3):
        expected = BinarySymmetricChannel(return_llrs=True, device=CPU)(torch.from_numpy(bits_BN.astype(np.float32)), p)
        # Sionna adds random flips: only the size is known of each, and the sign where the bit was not flipped.
        found = bsc_llr(bits_BN, np.array([p]))
        np.testing.assert_allclose(np.abs(found), expected.abs().numpy(), rtol=1e-4)
        assert (np.sign(found) == 2.0 * bits_BN - 1).all()
    extremes = bsc_llr(bits_BN.repeat(2, axis=0), np.array([0.0, 0.5]))
    assert np.isfinite(extremes).all()
    assert (extremes[0] * (2.0 * bits_BN[0] - 1) > 10).all()
    assert (extremes[1] == 0).all()


@pytest.mark.parametrize("coded_bits", PREFIX_BITS)
def test_every_prefix_decodes_without_noise(code: PrefixLdpc, words: tuple[Bits, Bits], coded_bits: int) -> None:
    decoded = code.decode(received(words[1][:4], coded_bits, 0.0))
    assert decoded.crc_ok_B.all()
    assert np.array_equal(decoded.bits_BK, words[0][:4])


@pytest.mark.parametrize(
    ("coded_bits", "p", "share"),
    [(2080, 0.02, 0.99), (2080, 0.05, 0.0), (2592, 0.05, 0.98), (3104, 0.08, 0.95), (4128, 0.10, 1.0),
     (4128, 0.12, 0.98), (4128, 0.15, 0.0)],
)  # fmt: skip
def test_success_rates(code: PrefixLdpc, words: tuple[Bits, Bits], coded_bits: int, p: float, share: float) -> None:
    """As measured; beyond the cliff nothing decodes, and a CRC that holds never lies."""
    bits_BK, words_BN = words
    decoded = code.decode(received(words_BN, coded_bits, p))
    assert np.array_equal((decoded.bits_BK == bits_BK).all(axis=1), decoded.crc_ok_B)
    spread = math.sqrt(max(share * (1 - share), 0.02) * (1 / 48 + 1 / 96))
    assert abs(decoded.crc_ok_B.mean() - share) <= SIGMAS * spread


@pytest.mark.parametrize("p", [0.03, 0.05, 0.09])
def test_the_ber_curve_is_that_of_sionnas_decoder_on_the_mother_code(
    code: PrefixLdpc, words: tuple[Bits, Bits], p: float
) -> None:
    """Sionna decodes all 4,128 bits with LLR 0 for unsent ones, every iteration run; ours leaves those checks out."""
    from sionna.phy.fec.ldpc import LDPC5GDecoder

    bits_BK, words_BN = words[0][:16], words[1][:16]
    coded_bits = {0.03: 2080, 0.05: 2592, 0.09: 3616}[p]
    llr_BN = received(words_BN, coded_bits, p)
    whole_BN = np.pad(llr_BN, ((0, 0), (0, CODED_BITS - coded_bits)))
    decoder = LDPC5GDecoder(sionna(CODED_BITS), num_iter=ldpc.MAX_ITERATIONS, device=CPU)
    with torch.inference_mode():
        theirs_BK = decoder(torch.from_numpy(whole_BN)).numpy()[:, :INFORMATION_BITS].astype(np.uint8)
    ours_BK = code.decode(llr_BN).bits_BK
    error_rates = [float((found != bits_BK).mean()) for found in (ours_BK, theirs_BK)]
    assert error_rates[0] == pytest.approx(error_rates[1], abs=0.004)
    right = [(found == bits_BK).all(axis=1) for found in (ours_BK, theirs_BK)]
    assert abs(int(right[0].sum()) - int(right[1].sum())) <= 1
    assert not (right[1] & ~right[0]).any(), "what Sionna decodes, we decode"


def test_what_else_is_in_the_batch_does_not_show(code: PrefixLdpc, words: tuple[Bits, Bits]) -> None:
    llr_BN = np.concatenate([received(words[1][i : i + 6], 2080, p, seed=i) for i, p in enumerate((0.0, 0.02, 0.03))])
    whole = code.decode(llr_BN)
    assert 0 < whole.crc_ok_B.sum() < len(llr_BN), "some decode and some do not"
    for size in (1, 2, 5, 17):
        for start in (0, 1):
            piece = code.decode(llr_BN[start : start + size])
            assert np.array_equal(piece.bits_BK, whole.bits_BK[start : start + size])
            assert np.array_equal(piece.crc_ok_B, whole.crc_ok_B[start : start + size])


def test_each_frame_counts_with_its_own_p(code: PrefixLdpc, words: tuple[Bits, Bits]) -> None:
    """A second frame of pure noise says nothing where its p is known, and spoils the block where it is thought good."""
    bits_BK, words_BN = words[0][:4], words[1][:4]
    noise = np.random.default_rng(3).integers(0, 2, (4, 512)).astype(np.uint8)
    good = received(words_BN, 2080, 0.01)
    known = code.decode(np.concatenate((good, bsc_llr(noise, np.full(4, 0.5))), axis=1))
    trusted = code.decode(np.concatenate((good, bsc_llr(noise, np.zeros(4))), axis=1))
    assert np.array_equal(known.bits_BK, bits_BK)
    assert not trusted.crc_ok_B.any()


def test_nothing_is_drawn_from_pytorchs_generator() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    PrefixLdpc()
    assert torch.equal(torch.rand(3), expected)


def test_other_lengths_are_refused(code: PrefixLdpc) -> None:
    with pytest.raises(KeyError):
        code.decode(np.zeros((1, 2048), dtype=np.float32))
