# SPDX-License-Identifier: Apache-2.0
"""Three processes over HTTP against the in-process link: the same results, rounds and floats, to the last bit."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from essence import Essence, of_reply, of_trace
from nodes import AT_ONCE, NEVER, png, three_nodes
from numpy.typing import NDArray
from toy import load_link, toy_images

from client import Client
from experiments.data.cifar100 import load
from models.link import Request
from models.systems import SYSTEMS
from models.weights import WEIGHTS_FOLDER, available_profiles, read_manifest
from service.wire import Classification

pytestmark = pytest.mark.long

CIFAR = Path(os.environ.get("SPIKELINK_DATA", Path(__file__).resolve().parents[1] / "data" / "cifar-100-binary"))
BERS = (0.0, 0.1, 0.3)
SEED = 20231
IMAGES = 200
#: Every size that a tile could treat differently; all 200 are a batch as well.
PIECES = (1, 3, 16, 50)
#: How many also go one by one; a second store meets fewer, for what it keeps does not depend on the weights.
SINGLES = {("toy", "sqlite"): 24, ("toy", "redis"): 24, ("trained", "sqlite"): IMAGES, ("trained", "redis"): 50}


@dataclass(eq=False)
class Bench:
    """Nodes with the weights of a folder, the link with the same, and images for both; image i is noise block i."""

    kind: str
    client: Client
    folder: Path
    images: NDArray[np.uint8]
    singles: int
    files: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.files = [png(image) for image in self.images]

    def expected(
        self, ber: float, blocks: Sequence[int], system: str = "snn-sc-harq", *, t: int | None = None,
        threshold: float | None = None, feedback_ber: float = 0.0,
    ) -> list[Essence]:  # fmt: skip
        if threshold is None and SYSTEMS[system].takes_threshold:
            threshold = read_manifest("resnet18", self.folder).thresholds[system]
        case = (self.kind, system, ber, tuple(blocks), threshold, t, feedback_ber)
        if case not in _LINK_SAYS:
            request = Request(SYSTEMS[system], ber, SEED, tuple(blocks), threshold, t, feedback_ber)
            traces = link_of(self.folder).run(self.images[list(blocks)], request)
            _LINK_SAYS[case] = [of_trace(trace) for trace in traces]
        return _LINK_SAYS[case]

    def first_expected(self, ber: float, count: int) -> list[Essence]:
        """Of the first images with the default system, so many or more at a time."""
        known = _KNOWN.setdefault((self.kind, ber), [])
        if len(known) < count:
            known[:] = self.expected(ber, range(count))
        return known[:count]

    def single(self, block: int, **terms: float | str | int | None) -> Essence:
        reply = self.client.classify(self.files[block], seed=SEED, block=block, **terms)  # type: ignore[arg-type]
        return self._checked(reply)

    def together(self, blocks: Sequence[int], **terms: float | str | int | None) -> list[Essence]:
        files = [self.files[block] for block in blocks]
        reply = self.client.classify_batch(files, seed=SEED, blocks=blocks, **terms)  # type: ignore[arg-type]
        assert reply.exchanges >= max(len(result.rounds) for result in reply.results)
        return [self._checked(result) for result in reply.results]

    def _checked(self, reply: Classification) -> Essence:
        assert (reply.http_retries, reply.restarts, reply.durable) == (0, 0, True)
        return of_reply(reply)


#: The link runs once for both stores.
_LINK_SAYS: dict[tuple[object, ...], list[Essence]] = {}
_KNOWN: dict[tuple[str, float], list[Essence]] = {}
link_of = cache(load_link)


@pytest.fixture(scope="module", params=["toy", "trained"])
def bench(request: pytest.FixtureRequest, toy_folder: Path, store_url: str) -> Iterator[Bench]:
    folder, images = toy_folder, toy_images(IMAGES, seed=21)
    if request.param == "trained":
        manifest = available_profiles()["resnet18"]
        if manifest is None or "snn-sc-harq" not in manifest.thresholds or not (CIFAR / "test.bin").is_file():
            pytest.skip(f"needs the weights of resnet18 and CIFAR-100's test set in {CIFAR} (or SPIKELINK_DATA)")
        folder, images = WEIGHTS_FOLDER, load(CIFAR, "test").images_NCHW[:IMAGES]
    with (
        three_nodes(
            folder, {"cloud": {"SPIKELINK_STORE": store_url}, "edge": {"SPIKELINK_DEADLINE_S": "600"}}
        ) as nodes,
        Client(nodes.urls["edge"], channel_url=nodes.urls["channel"], timeout_s=600) as client,
    ):
        assert client.info().torch_threads == 1
        yield Bench(request.param, client, folder, images, SINGLES[request.param, store_url.partition(":")[0]])


@pytest.mark.parametrize("ber", BERS)
def test_single_images(bench: Bench, ber: float) -> None:
    with ThreadPoolExecutor(3) as pool:  # edge and cloud have something to do at the same time
        replies = list(pool.map(lambda block: bench.single(block, ber=ber), range(bench.singles)))
    assert replies == bench.first_expected(ber, bench.singles)


@pytest.mark.parametrize("ber", BERS)
def test_batches_of_any_size(bench: Bench, ber: float) -> None:
    expected, start = bench.first_expected(ber, sum(PIECES)), 0
    for size in PIECES:
        blocks = range(start, start + size)
        assert bench.together(blocks, ber=ber) == expected[start : start + size], size
        start += size


@pytest.mark.parametrize("ber", BERS)
def test_one_large_batch(bench: Bench, ber: float) -> None:
    count = IMAGES if bench.kind == "trained" or ber == 0.1 else 70
    assert bench.together(range(count), ber=ber) == bench.first_expected(ber, count)


def test_the_images_end_in_different_rounds(bench: Bench) -> None:
    """Or else the tests above would compare less than they seem to."""
    found = bench.first_expected(0.1, IMAGES)
    assert len({len(entry.rounds) for entry in found}) >= 3
    assert len({entry.outcome for entry in found}) == 2


@pytest.mark.parametrize(
    ("system", "terms"),
    [
        *(("multi-rate", {"t": t}) for t in (4, 5, 6, 7, 8)),
        ("snn-sc-margin-harq", {}),
        ("snn-sc-margin-harq", {"threshold": 0.5}),
        ("snn-sc-learned-harq", {}),
        ("snn-sc-harq", {"threshold": NEVER}),
        ("snn-sc-harq", {"threshold": AT_ONCE}),
    ],
)
def test_every_system(bench: Bench, system: str, terms: dict[str, float]) -> None:
    if system == "snn-sc-learned-harq" and bench.kind == "trained":
        pytest.skip("resnet18 has no learned rule")
    blocks = (2, 3, 5, 8, 13, 21, 34)
    t = int(terms["t"]) if "t" in terms else None
    expected = bench.expected(0.2, blocks, system, t=t, threshold=terms.get("threshold"))
    assert bench.together(blocks, ber=0.2, system=system, **terms) == expected
    assert bench.single(5, ber=0.2, system=system, **terms) == expected[2]


def test_the_uncompressed_reference(bench: Bench) -> None:
    expected = bench.expected(0.0, range(20), "bypass")
    assert bench.together(range(20), system="bypass") == expected
    assert bench.single(7, system="bypass") == expected[7]
    assert {entry.bandwidth_bits for entry in expected} == {16 * 512 * 16}


@pytest.mark.parametrize(("ber", "rounds"), [(0.0, {1}), (0.06, {2, 3}), (0.3, {5})])
def test_separate_coding(bench: Bench, ber: float, rounds: set[int]) -> None:
    blocks = range(20, 41)
    expected = bench.expected(ber, blocks, "snn-sc-ldpc-harq")
    assert {len(entry.rounds) for entry in expected} == rounds
    assert bench.together(blocks, ber=ber, system="snn-sc-ldpc-harq") == expected
    assert [bench.single(block, ber=ber, system="snn-sc-ldpc-harq") for block in blocks[:3]] == expected[:3]


def test_separate_coding_with_corrupted_feedback(bench: Bench) -> None:
    expected = bench.expected(0.06, range(24), "snn-sc-ldpc-harq", feedback_ber=0.3)
    assert {entry.outcome for entry in expected} == {"accepted", "feedback_error"}
    bench.client.change_link("feedback", ber=0.3)
    try:
        assert bench.together(range(24), ber=0.06, system="snn-sc-ldpc-harq") == expected
        singles = [bench.single(block, ber=0.06, system="snn-sc-ldpc-harq") for block in range(6)]
        assert singles == expected[:6]
    finally:
        bench.client.reset_links()


@pytest.mark.parametrize("t", [1, 4, 8])
def test_the_one_bit_codec(bench: Bench, t: int) -> None:
    expected = bench.expected(0.2, range(19), "cnn-1bit", t=t)
    assert {entry.bandwidth_bits for entry in expected} == {512 * t}
    assert bench.together(range(19), ber=0.2, system="cnn-1bit", t=t) == expected
    assert bench.single(7, ber=0.2, system="cnn-1bit", t=t) == expected[7]


@pytest.mark.parametrize("feedback_ber", [0.1, 0.4])
def test_corrupted_feedback(bench: Bench, feedback_ber: float) -> None:
    expected = bench.expected(0.1, range(40), feedback_ber=feedback_ber)
    assert "feedback_error" in {entry.outcome for entry in expected}
    bench.client.change_link("feedback", ber=feedback_ber)
    try:
        assert bench.together(range(40), ber=0.1) == expected
        assert [bench.single(block, ber=0.1) for block in range(12)] == expected[:12]
    finally:
        bench.client.reset_links()


def test_the_links_own_ber_is_as_good_as_the_requests(bench: Bench) -> None:
    bench.client.change_link("forward", ber=0.3)
    try:
        assert bench.together(range(16)) == bench.first_expected(0.3, 16)
        assert bench.single(3) == bench.first_expected(0.3, 16)[3]
    finally:
        bench.client.reset_links()
