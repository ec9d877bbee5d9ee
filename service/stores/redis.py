# SPDX-License-Identifier: Apache-2.0
"""Sessions in Redis (7 or later, or Valkey): for several cloud replicas on several hosts."""

import secrets

from service.stores.protocol import Stored, Swap, next_version
from service.stores.redis_connection import RedisConnection

_PREFIX = "spikelink:session:"
_EXPIRIES = "spikelink:session-expiries"  # sorted set: record -> time of expiry in ms, so that counting needs no scan

# KEYS: record, expiries. ARGV: expected version ('' = none), value, new version, ttl in ms, token of this attempt.
# Versions are compared as text, so Lua's doubles never round them. The server's clock decides, as it does for PEXPIRE.
# The token recognises our own write when redis-py repeats the script after a reply was lost on the way.
_SWAP = """
local found = redis.call('HMGET', KEYS[1], 'version', 'token')
if (found[1] or '') ~= ARGV[1] then
    return found[2] == ARGV[5] and 1 or 0
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'value', ARGV[2], 'version', ARGV[3], 'token', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4], KEYS[1])
return 1
"""
# KEYS: expiries. Prunes what has expired: each record is added and pruned once, so a call costs log(n) on average.
_COUNT = """
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
return redis.call('ZCARD', KEYS[1])
"""


class RedisStore(RedisConnection):
    """A record is a hash of value, version and token under `spikelink:session:KEY`; compare-and-set is a Lua script."""

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        super().__init__(url, timeout_s=timeout_s)
        self._swap_script = self._client.register_script(_SWAP)
        self._count_script = self._client.register_script(_COUNT)

    async def load(self, key: str) -> Stored | None:
        fields = ["value", "version"]
        value, version = await self._run(lambda: self._client.hmget(_PREFIX + key, fields))
        return Stored(value, int(version)) if isinstance(value, bytes) and version is not None else None

    async def swap(
        self, key: str, value: bytes, *, expected: int | None, ttl_s: float, version: int | None = None
    ) -> Swap:
        version = next_version(expected, version)
        ttl_ms = max(1, round(ttl_s * 1000))
        arguments = ["" if expected is None else expected, value, version, ttl_ms, secrets.token_bytes(8)]
        done = await self._run(lambda: self._swap_script(keys=[_PREFIX + key, _EXPIRIES], args=arguments))
        return Swap(True, True, version) if done else Swap(False, True)

    async def count(self) -> int:
        return int(await self._run(lambda: self._count_script(keys=[_EXPIRIES])))
