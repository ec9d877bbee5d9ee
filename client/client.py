# SPDX-License-Identifier: Apache-2.0
"""Classify images through a running edge, and look at or change the links of its channel."""

from collections.abc import Generator, Sequence
from typing import Final, Self
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter, ValidationError

from client.errors import SpikeLinkError
from client.images import ImageSource, read_image
from client.node import Node, Progress, Query
from service.wire import (
    MAX_BATCH,
    BatchClassification,
    Classification,
    LinkChange,
    LinkCounters,
    NodeInfo,
    Readiness,
    format_blocks,
)
from service.wire.deadlines import DEADLINE_S, LONGER_S

#: Seconds that an answer may take: more than the nodes' default deadline.
TIMEOUT_S: Final = DEADLINE_S + LONGER_S
EDGE_URL: Final = "http://127.0.0.1:8001"

_CLASSIFICATION: Final = TypeAdapter(Classification)
_BATCH: Final = TypeAdapter(BatchClassification)
_LINK: Final = TypeAdapter(LinkCounters)
_LINKS: Final = TypeAdapter(list[LinkCounters])


class Client:
    """An edge, and its channel where ``channel_url`` names one.

    >>> with Client("http://127.0.0.1:8001") as client:
    ...     result = client.classify("rocket.jpg", ber=0.1, seed=7)
    ...     print(result.label, result.bandwidth_bits, [r.similarity for r in result.rounds])

    Every method raises one of ``client.errors``.
    """

    def __init__(
        self,
        base_url: str = EDGE_URL,
        *,
        channel_url: str | None = None,
        token: str | None = None,
        admin_token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._edge = Node(base_url, role="edge", token=token, timeout_s=timeout_s, transport=transport)
        self._channel = (
            Node(channel_url, role="channel", token=admin_token or token, timeout_s=timeout_s, transport=transport)
            if channel_url
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a request under way on another thread ends at once, with NodeUnreachableError."""
        self._edge.close()
        if self._channel:
            self._channel.close()

    def classify(
        self,
        image: ImageSource,
        *,
        ber: float | None = None,
        threshold: float | None = None,
        seed: int | None = None,
        block: int | None = None,
        system: str | None = None,
        profile: str | None = None,
        t: int | None = None,
        media_type: str | None = None,
    ) -> Classification:
        """Classify one image, a path or a file's bytes. What is not given is the edge's default."""
        encoded = read_image(image, media_type)
        query = _query(ber=ber, threshold=threshold, seed=seed, block=block, system=system, profile=profile, t=t)
        return self._edge.post_image("/v1/classify", _CLASSIFICATION, query, encoded.content, encoded.media_type)

    def stream(
        self,
        image: ImageSource,
        *,
        ber: float | None = None,
        threshold: float | None = None,
        seed: int | None = None,
        block: int | None = None,
        system: str | None = None,
        profile: str | None = None,
        t: int | None = None,
        media_type: str | None = None,
    ) -> Generator[Progress, None, None]:
        """Classify one image and see it happen: a Start, a RoundReport as each round ends, the Classification last.

        >>> for event in client.stream("rocket.jpg", ber=0.2):
        ...     if isinstance(event, RoundReport):
        ...         print(event.round, event.similarity, event.feedback)

        Leaving the loop early ends the work at the edge, too; where the generator is kept, ``close`` it. The edge is
        given ``timeout_s`` for each sign of life and bounds the whole by a deadline of its own.
        """
        encoded = read_image(image, media_type)
        query = _query(ber=ber, threshold=threshold, seed=seed, block=block, system=system, profile=profile, t=t)
        return self._edge.stream_image("/v1/classify", query, encoded.content, encoded.media_type)

    def classify_batch(
        self,
        images: Sequence[ImageSource],
        *,
        ber: float | None = None,
        threshold: float | None = None,
        seed: int | None = None,
        blocks: Sequence[int] | None = None,
        system: str | None = None,
        profile: str | None = None,
        t: int | None = None,
        media_type: str | None = None,
    ) -> BatchClassification:
        """Classify up to 256 images in one HARQ session, results in the order given.

        ``blocks`` are ascending noise blocks, one an image; 0, 1, 2 ... unless given. Raises ValueError where the
        number of images or blocks does not fit.
        """
        if not 1 <= len(images) <= MAX_BATCH:
            raise ValueError(f"a batch has 1 to {MAX_BATCH} images, not {len(images)}")
        if blocks is not None and len(blocks) != len(images):
            raise ValueError(f"{len(images)} images need {len(images)} blocks, not {len(blocks)}")
        named = None if blocks is None else format_blocks(blocks)
        query = _query(ber=ber, threshold=threshold, seed=seed, blocks=named, system=system, profile=profile, t=t)
        encoded = [read_image(image, media_type) for image in images]
        parts = [("images", (image.name, image.content, image.media_type)) for image in encoded]
        return self._edge.post_parts("/v1/classify/batch", _BATCH, query, parts)

    def info(self) -> NodeInfo:
        """The edge's profiles, weights, device and versions."""
        return self._edge.info()

    def ready(self) -> Readiness:
        """Whether the edge can serve, and what is missing where it cannot."""
        return self._edge.ready()

    def links(self) -> list[LinkCounters]:
        """The channel's links, with what has crossed them."""
        return self._links().request("GET", "/v1/links", _LINKS)

    def change_link(
        self, name: str, *, ber: float | None = None, latency_ms: float | None = None, model: str | None = None
    ) -> LinkCounters:
        """Change a link from the next frame on; what is not given stays. Raises ValueError for values out of range."""
        try:
            change = LinkChange(ber=ber, latency_ms=latency_ms, model=model).model_dump(exclude_none=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{first['loc'][0]}: {first['msg']}") from None
        return self._links().request("PATCH", _link_path(name), _LINK, json=change)

    def reset_links(self, name: str | None = None) -> list[LinkCounters]:
        """Set one link, or all, back to what the channel started with."""
        if name is None:
            return self._links().request("POST", "/v1/reset", _LINKS)
        return [self._links().request("POST", f"{_link_path(name)}/reset", _LINK)]

    def _links(self) -> Node:
        if self._channel is None:
            raise SpikeLinkError(
                "no channel is named: give its URL, for example Client(channel_url='http://127.0.0.1:8002')"
            )
        return self._channel


def _link_path(name: str) -> str:
    return f"/v1/links/{quote(name, safe='')}"


def _query(**values: str | float | None) -> Query:
    """What is given, as text; a float in the shortest form that reads back exactly."""
    return {name: str(value) for name, value in values.items() if value is not None}
