# SPDX-License-Identifier: Apache-2.0
"""A Redis server (7 or later, or Valkey) whose every call is bounded in time: what its stores share."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from service.stores.protocol import StoreUnavailableError

T = TypeVar("T")

_CONNECTIONS = 16


class RedisConnection:
    """`timeout_s` bounds every call as a whole.

    redis-py alone does not: its retries nest, 10 by default with 5 s each, and a dead server is noticed after a minute.
    Its own timeouts are off: one that ended in the same instant as ours swallowed our cancellation, and a frozen server
    was then noticed after twice the time. Not for Redis Cluster: the keys of a script lie in different slots.
    """

    name = "redis"
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

    async def open(self) -> None:
        await self.ping()

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
