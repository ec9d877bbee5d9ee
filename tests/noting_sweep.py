# SPDX-License-Identifier: Apache-2.0
"""``spikelink sweep ...`` whose Ray workers note each unit they have done in /tmp/units of their own machine.

When a machine has done two, its workers hold the next until there is a file /tmp/go. A program of its own, copied into
containers: what it defines travels to the workers with it.
"""

import asyncio
from pathlib import Path

import ray

from cli.app import main
from experiments.data.cifar100 import LabelledImages
from experiments.sweeps import ray_engine, ray_worker
from experiments.sweeps.record import Point
from experiments.sweeps.result import UnitResult

NOTES, GO = Path("/tmp/units"), Path("/tmp/go")


def enough() -> bool:
    """Whether the machine has done two units and may not go on."""
    return NOTES.exists() and len(NOTES.read_text().splitlines()) >= 2 and not GO.exists()


class NotingWorker(ray_worker.RayWorker):
    """Notes the machine's address, a line a unit."""

    async def compute(self, point: Point, seed: int, images: LabelledImages) -> UnitResult:
        while enough():
            await asyncio.sleep(0.02)  # a file cannot tell that it is there
        result = await super().compute(point, seed, images)
        with NOTES.open("a") as file:
            file.write(f"{ray.util.get_node_ip_address()}\n")
        return result


if __name__ == "__main__":
    ray_engine.RayWorker = NotingWorker  # type: ignore[misc]
    main()
