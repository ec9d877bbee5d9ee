# SPDX-License-Identifier: Apache-2.0
"""The edge's exchanges with the channel: repeated after transport errors within the deadline, counted, parsed."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import CATALOGUE, PeerFailed, PeerTimedOut, Refusal
from service.hop import Call, Deadline, Hop, Reply
from service.wire import BER, OCTETS, SEED, FrameHead, RelayedAnswer, ResultAnswer, ResultRequest

#: 408: the channel stood still while a frame was on its way, and has then counted that as the edge's time.
_RETRIED_STATUS: Final = (408, 502, 503, 504)
#: What the edge may answer its own callers with.
_HANDED_ON: Final = (422, 429, 502, 503, 504)
#: The member of a 409 that names the weights which the cloud has instead.
_WEIGHTS: Final = "weights_sha256"
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

M = TypeVar("M", bound=BaseModel)


class SessionLost(Exception):
    """The cloud does not know the session, or knows it otherwise: it has to start over."""


@dataclass
class Tally:
    """What the exchanges of one request have cost."""

    wire_bytes: int = 0
    exchanges: int = 0
    http_retries: int = 0


class Exchange:
    """The exchanges of one request: one seed, one BER, one deadline."""

    def __init__(self, hop: Hop, request_id: str, deadline: Deadline, noise: Mapping[str, str]) -> None:
        self._hop, self._request_id, self.deadline, self._noise = hop, request_id, deadline, noise
        self.tally = Tally()

    async def frame(self, head: FrameHead, payload: bytes) -> RelayedAnswer:
        """Send a frame -> the answer. Raises SessionLost, or the refusal that the nodes beyond gave."""
        headers = {**head.to_headers(), **self._noise, "Content-Type": OCTETS}
        relayed = await self._post(Call("/v1/frames", payload, headers, self._request_id), RelayedAnswer)
        answer = relayed.answer
        answered = (answer.session, answer.round, tuple(each.block for each in answer.answers))
        told = {len(relayed.flipped_bits), len(relayed.inverted_feedback)}
        if answered != (head.session, head.round, head.blocks) or told != {len(head.blocks)}:
            raise PeerFailed("the channel's answer is not the one to this frame")
        return relayed

    async def result(self, session: str, blocks: tuple[int, ...]) -> ResultAnswer:
        """Ask for the result with the bits at hand. Raises as :meth:`frame`."""
        body = ResultRequest(blocks=blocks).model_dump_json().encode()
        headers = {"Content-Type": "application/json"}
        answer = await self._post(Call(f"/v1/sessions/{session}/result", body, headers, self._request_id), ResultAnswer)
        if tuple(each.block for each in answer.results) != blocks:
            raise PeerFailed("the channel's answer has other results than those asked for")
        return answer

    async def _post(self, call: Call, kind: type[M]) -> M:
        reply = await self._persist(call)
        self.tally.exchanges += 1
        self.tally.wire_bytes += reply.wire_bytes
        if reply.status in (409, 410):
            if _WEIGHTS in _members(reply):
                raise PeerFailed(_detail(reply))  # starting over would meet the same other weights
            raise SessionLost(_detail(reply))
        if reply.status != 200:
            raise _refusal(reply)
        try:
            return kind.model_validate_json(reply.body)
        except ValidationError as error:
            raise PeerFailed(f"the channel's answer cannot be read: {error.errors()[0]['msg']}") from None

    async def _persist(self, call: Call) -> Reply:
        """Repeat until there is an answer that is not a transport error, or the deadline leaves no room."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                reply = await self._hop.post(call, self.deadline)
                if reply.status not in _RETRIED_STATUS:
                    return reply
                failure: Refusal = _refusal(reply)
            except (PeerFailed, PeerTimedOut) as error:
                failure = error
            if self.deadline.left_s <= pause_s:
                raise failure
            await asyncio.sleep(pause_s)
            self.tally.http_retries += 1
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def noise_headers(seed: int, ber: float | None) -> dict[str, str]:
    """What the channel, and nobody after it, is told of the noise."""
    return {SEED: str(seed)} | ({} if ber is None else {BER: repr(ber)})


def _members(reply: Reply) -> dict[str, object]:
    """The problem that a reply holds; empty where it is none."""
    try:
        content = json.loads(reply.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _detail(reply: Reply) -> str:
    return str(_members(reply).get("detail", f"the next node answered {reply.status}"))


def _refusal(reply: Reply) -> Refusal:
    """The refusal of a node beyond, under its own status where the edge may answer that, else as a failed peer."""
    kind = CATALOGUE.get(reply.status, PeerFailed)
    if kind.status not in _HANDED_ON:
        kind = PeerFailed
    retry_after_s = int(reply.retry_after) if reply.retry_after and reply.retry_after.isdecimal() else None
    return kind(_detail(reply), retry_after_s=retry_after_s)
