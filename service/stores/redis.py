# SPDX-License-Identifier: Apache-2.0
"""Sessions in Redis (7 or later, or Valkey): for several cloud replicas on several hosts."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from service.stores.protocol import Stored, StoreUnavailableError, Swap, next_version

T = TypeVar("T")

_PREFIX = "spikelink:session:"
_EXPIRIES = "spikelink:session-expiries"  # sorted set: record -> time of expiry in ms, so that counting needs no scan
_CONNECTIONS = 16

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


class RedisStore:
    """A record is a hash of value, version and token under `spikelink:session:KEY`; compare-and-set is a Lua script.

    `timeout_s` bounds every call as a whole. redis-py alone does not: its retries nest, 10 by default with 5 s each,
    and a dead server is noticed after a minute. Its own timeouts are off: one that ended in the same instant as ours
    swallowed our cancellation, and a frozen server was then noticed after twice the time. Not for Redis Cluster: the
    script's two keys lie in different slots.
    """

    name = "redis"
    shared = True
    durable = True

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        self._timeout_s = timeout_s
        # RESP2: nothing here needs RESP3, with which redis-py 8 reuses connections without looking for leftover bytes.
        # One repetition, and of broken connections only: enough after a restart, and a slow server is not asked twice.
        self._client: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(ConstantBackoff(0.05), 1, supported_errors=(RedisConnectionError,)),
            max_connections=10 * _CONNECTIONS,
        )
        # Bounds the connections by making callers wait; the pool's own bound raises.
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._swap_script = self._client.register_script(_SWAP)
        self._count_script = self._client.register_script(_COUNT)

    async def open(self) -> None:
        await self.ping()

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

    async def ping(self) -> None:
        await self._run(lambda: self._client.ping())

    async def close(self) -> None:
        with suppress(RedisError, OSError):  # the server may have gone, and the connections with it
            await self._client.aclose()

    async def _run(self, command: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s), self._places:
                return await command()
        except TimeoutError as error:
            raise StoreUnavailableError(f"redis: no answer within {self._timeout_s} s") from error
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"redis: {error}") from error
