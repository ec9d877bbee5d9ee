# SPDX-License-Identifier: Apache-2.0
"""Which worker of a cluster takes which unit."""

import asyncio

import pytest

from experiments.sweeps.pairing import Pairing


@pytest.mark.asyncio
async def test_a_worker_goes_on_with_its_images() -> None:
    pairing: Pairing[str] = Pairing()
    units = [(images, asyncio.create_task(pairing.take(images))) for images in "aaabbc"]
    await asyncio.sleep(0)
    taken: list[tuple[str, str]] = []

    async def done(worker: str) -> None:
        pairing.give(worker)
        await asyncio.sleep(0)
        (index,) = [index for index, (_, task) in enumerate(units) if task.done()]
        taken.append((units.pop(index)[0], worker))

    for worker in "123121":
        await done(worker)
    assert taken == [("a", "1"), ("b", "2"), ("c", "3"), ("a", "1"), ("b", "2"), ("a", "1")]
    units.append(("d", asyncio.create_task(pairing.take("d"))))
    await asyncio.sleep(0)
    await done("3")
    assert len(pairing) == 3
    pairing.drop("3")
    assert len(pairing) == 2
