# SPDX-License-Identifier: Apache-2.0
"""Sweeps in Redis (7 or later, or Valkey): for runners and dashboards on several hosts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from service.stores.redis_connection import RedisConnection
from service.stores.sweeps.protocol import FinishedUnit, StoredSweep

_SWEEPS: Final = "spikelink:sweeps"  # list of ids
_SWEEP: Final = "spikelink:sweep:"  # + id: hash of content and cancelled
_FINISHED: Final = "spikelink:sweep-finished:"  # + id: sorted set, unit -> sequence number
_UNIT: Final = "spikelink:sweep-unit:"  # + name: its result
_SEQUENCE: Final = "spikelink:sweep-sequence"
_NAMES_A_CALL: Final = 500

# KEYS: sweep, list of sweeps. ARGV: content, id.
_PUT = """
if redis.call('HSETNX', KEYS[1], 'content', ARGV[1]) == 1 then
    redis.call('RPUSH', KEYS[2], ARGV[2])
end
"""
# KEYS: sweep. ARGV: 1 or 0.
_CANCEL = """
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], 'cancelled', ARGV[1])
end
"""
# KEYS: unit's result, the sweep's finished units, sequence. ARGV: result, unit's name.
# A script runs alone, so that numbers are given in the order in which they can be read.
_FINISH = """
redis.call('SETNX', KEYS[1], ARGV[1])
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then
    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[2])
end
"""


class RedisSweepStore(RedisConnection):
    """A sweep is a hash and a sorted set of its finished units; results lie apart, because sweeps share them."""

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        super().__init__(url, timeout_s=timeout_s)
        self._put_script = self._client.register_script(_PUT)
        self._cancel_script = self._client.register_script(_CANCEL)
        self._finish_script = self._client.register_script(_FINISH)

    async def put_sweep(self, sweep: str, content: bytes) -> None:
        await self._ask(lambda: self._put_script(keys=[_SWEEP + sweep, _SWEEPS], args=[content, sweep]))

    async def sweep(self, sweep: str) -> StoredSweep | None:
        content, cancelled = await self._ask(lambda: self._client.hmget(_SWEEP + sweep, ["content", "cancelled"]))
        return StoredSweep(sweep, content, cancelled == b"1") if isinstance(content, bytes) else None

    async def sweeps(self) -> list[StoredSweep]:
        ids = await self._ask(lambda: self._client.lrange(_SWEEPS, 0, -1))
        found = [await self.sweep(name.decode()) for name in ids]
        return [sweep for sweep in found if sweep is not None]

    async def set_cancelled(self, sweep: str, cancelled: bool) -> None:
        await self._ask(lambda: self._cancel_script(keys=[_SWEEP + sweep], args=[int(cancelled)]))

    async def finish(self, sweep: str, unit: str, result: bytes) -> None:
        keys = [_UNIT + unit, _FINISHED + sweep, _SEQUENCE]
        await self._ask(lambda: self._finish_script(keys=keys, args=[result, unit]))

    async def results(self, units: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for start in range(0, len(units), _NAMES_A_CALL):
            names = units[start : start + _NAMES_A_CALL]
            values = await self._values([_UNIT + name for name in names])
            found.update({name: value for name, value in zip(names, values, strict=True) if value is not None})
        return found

    async def finished(self, sweep: str, *, after: int = 0, limit: int = 1000) -> list[FinishedUnit]:
        key, above = _FINISHED + sweep, f"({after}"
        pairs = await self._ask(
            lambda: self._client.zrangebyscore(key, above, "+inf", start=0, num=limit, withscores=True)
        )
        numbers = {unit.decode(): int(score) for unit, score in pairs}
        results = await self.results(list(numbers))
        return [FinishedUnit(number, name, results[name]) for name, number in numbers.items() if name in results]

    async def _values(self, keys: list[str]) -> list[bytes | None]:
        return list(await self._ask(lambda: self._client.mget(keys)))

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """As :meth:`_run`; redis-py's types say that a reply may be text, which this connection never decodes to."""
        return await self._run(command)
