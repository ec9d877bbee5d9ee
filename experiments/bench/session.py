# SPDX-License-Identifier: Apache-2.0
"""What the store holds of the longest session of one image."""

import asyncio
from typing import Final

from client import Classification, Client, RoundReport, SpikeLinkError, Start
from experiments.bench.items import BER, SYSTEM, Items
from experiments.bench.report import SessionState
from service.stores import open_store

#: No similarity exceeds it: the session goes on to the last time step.
_NEVER: Final = 1.0
#: Delay of each frame on the forward link: the record of a round is read before the next one can change it.
_PAUSE_MS: Final = 1000.0


def session_state(client: Client, items: Items, profile: str, store_url: str) -> SessionState:
    """Read after each round of a session that nothing satisfies. Raises what ``client`` raises.

    ``client`` must have the channel: the forward link is slow meanwhile, and reset afterwards.
    """
    client.change_link("forward", latency_ms=_PAUSE_MS)
    try:
        events = client.stream(
            items.files[0], threshold=_NEVER, ber=BER, seed=items.seed, system=SYSTEM, profile=profile
        )
        sizes, session = list[int](), ""
        for event in events:
            if isinstance(event, Start):
                session = event.session
            elif isinstance(event, RoundReport):
                sizes.append(asyncio.run(_stored_bytes(store_url, session)))
            elif isinstance(event, Classification) and event.restarts:
                raise SpikeLinkError("the cloud lost the session whose record was to be measured")
    finally:
        client.reset_links("forward")
    return SessionState(bytes_by_round=tuple(sizes))


async def _stored_bytes(store_url: str, session: str) -> int:
    store = open_store(store_url)
    await store.open()
    try:
        stored = await store.load(session)
    finally:
        await store.close()
    return 0 if stored is None else len(stored.value)
