# SPDX-License-Identifier: Apache-2.0
"""docs/protocol.md against the code: frames of every system, headers on both hops, and its program for the noise."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from channel.bits import pack, unpack
from channel.bsc import feedback_flipped
from channel.noise import MAX_SEED
from channel.transmission import transmit
from experiments.data.split import image_id, noise_block
from models.profiles import PROFILES
from models.systems import SYSTEMS, frame_of_round, last_round
from service.nodes.channel.app import create_channel
from service.settings import ChannelSettings
from service.wire import BER, CROSSOVER, DEADLINE_MS, REQUEST_ID, SEED, THRESHOLD, FrameHead

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
HEAD = FrameHead(
    session="0" * 32, round=1, t=4, position=0, blocks=(0, 1, 2, 7), system="snn-sc-harq", profile="resnet18",
    weights="0" * 64, threshold=0.7, digest="0" * 64,
).to_headers()  # fmt: skip


def table(first_row: str) -> list[list[str]]:
    """The cells of the table whose head begins so."""
    text = PAGE[PAGE.index(first_row) :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_frames_of_every_system() -> None:
    rows = table("| system | frames |")
    assert {row[0].split("`")[1] for row in rows} == SYSTEMS.keys()
    harq = PROFILES["resnet18"].harq
    for name, frames, _ in rows:
        system = SYSTEMS[name.split("`")[1]]
        fixed = re.search(r"t = (\d)", name)
        t = int(fixed[1]) if fixed else None
        real = [frame_of_round(system, harq, round_, t) for round_ in range(1, last_round(system, harq) + 1)]
        assert frames == ", ".join(f"{frame.position}:{frame.bits}" for frame in real), name
    assert PROFILES["resnet18-t1"].t0 == 1


def test_headers_of_both_hops() -> None:
    rows = {row[0].strip("`"): set(row[1].split(", ")) for row in table("| header | on the hop to |")}
    both = {name for name, hops in rows.items() if hops == {"channel", "cloud"}}
    assert both == {*HEAD, DEADLINE_MS, REQUEST_ID, "Authorization"}
    assert {name for name, hops in rows.items() if hops == {"channel"}} == {SEED, BER}
    assert {name for name, hops in rows.items() if hops == {"cloud"}} == {CROSSOVER}
    assert HEAD["SpikeLink-Blocks"] == "0-2,7"
    assert THRESHOLD in both
    routes = create_channel(ChannelSettings()).openapi()["paths"]
    for route in re.findall(r"`POST (/v1/\S+)`", PAGE):
        assert "post" in routes[route], route


def flips_of_the_page(*arguments: object) -> NDArray[np.bool_]:
    """What the page's own program says."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    space: dict[str, object] = {}
    exec(program, space)
    flips = space["flips"]
    assert callable(flips)
    found: NDArray[np.bool_] = flips(*arguments)
    return found


@pytest.mark.parametrize("position", [0, 32, 2080, 3])
@pytest.mark.parametrize(("seed", "block"), [(0, 0), (7, 3), (MAX_SEED, MAX_SEED)])
def test_the_program_flips_the_bits_that_the_channel_flips(seed: int, block: int, position: int) -> None:
    sent = np.random.default_rng(1).integers(0, 2, (1, 512), dtype=np.uint8)
    for ber in (0.01, 0.2, 0.5):
        got = transmit(pack(sent), ber, seed=seed, blocks=[block], position=position).payload
        flipped = flips_of_the_page(ber, seed, block, "forward", position, 512)
        assert flipped.any()
        assert np.array_equal(unpack(got, 1)[0] ^ sent[0], flipped)


def test_the_program_inverts_the_answers_that_the_channel_inverts() -> None:
    found = [bool(flips_of_the_page(0.3, 5, 2, "feedback", t, 1)[0]) for t in range(9)]
    assert found == [feedback_flipped(0.3, seed=5, block=2, t=t) for t in range(9)]
    assert len(set(found)) == 2


def test_blocks_of_sweeps_are_the_first_digits_of_ids() -> None:
    name = image_id(np.zeros((3, 32, 32), dtype=np.uint8))
    assert noise_block(name) == int(name[:13], 16)
