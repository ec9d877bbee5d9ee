# SPDX-License-Identifier: Apache-2.0
"""Which worker takes which unit: a worker remembers the features of its last images, and they cost most."""

import asyncio
from typing import Generic, TypeVar

W = TypeVar("W")


class Pairing(Generic[W]):
    """Free workers and waiting units, which are known by the images that they are about.

    A free worker takes the oldest unit with the images that it had last, else the oldest with images that no worker
    has, else the oldest.
    """

    def __init__(self) -> None:
        self._free: list[W] = []
        self._waiting: list[tuple[str, asyncio.Future[W]]] = []
        self._has: dict[W, str] = {}

    def __len__(self) -> int:
        """How many workers there are, busy ones included."""
        return len(self._has)

    async def take(self, images: str) -> W:
        """A worker, when there is one for these images; it is to be given back, or dropped."""
        waits: tuple[str, asyncio.Future[W]] = images, asyncio.get_running_loop().create_future()
        self._waiting.append(waits)
        self._match()
        try:
            return await waits[1]
        except asyncio.CancelledError:
            if waits in self._waiting:
                self._waiting.remove(waits)
            elif not waits[1].cancelled():
                self.give(waits[1].result())
            raise

    def give(self, worker: W) -> None:
        """A worker is free: a new one, or one that has done its unit."""
        self._has.setdefault(worker, "")
        self._free.append(worker)
        self._match()

    def drop(self, worker: W) -> None:
        """A worker that was taken is no more."""
        del self._has[worker]

    def _match(self) -> None:
        while self._free and self._waiting:
            had = {self._has[worker] for worker in self._free}
            place = next((place for place, (images, _) in enumerate(self._waiting) if images in had), None)
            if place is None:
                claimed = set(self._has.values())
                place = next((place for place, (images, _) in enumerate(self._waiting) if images not in claimed), 0)
            images, future = self._waiting.pop(place)
            worker = next((worker for worker in self._free if self._has[worker] == images), self._free[0])
            self._free.remove(worker)
            self._has[worker] = images
            future.set_result(worker)
