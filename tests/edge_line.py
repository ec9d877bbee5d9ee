# SPDX-License-Identifier: Apache-2.0
"""Edge, channel and cloud in this process, with a proxy that fails on request between edge and channel."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from nodes import png, running_channel, running_cloud, running_edge
from recording_proxy import Fault, RecordingProxy, recording_proxy
from toy import toy_images

from service.wire import Classification

IMAGE: Final = png(toy_images(1, seed=12)[0])
PNG: Final = {"Content-Type": "image/png"}


@dataclass(frozen=True)
class Line:
    """The three, and what is between the first two."""

    edge: httpx2.Client
    channel: httpx2.Client
    cloud: httpx2.Client
    proxy: RecordingProxy

    def classify(self, *faults: Fault, **terms: object) -> Classification:
        response = self.post(*faults, **terms)
        assert response.status_code == 200, response.text
        assert self.proxy.faults == []
        return Classification.model_validate_json(response.content)

    def post(self, *faults: Fault, **terms: object) -> httpx2.Response:
        self.proxy.exchanges.clear()
        self.proxy.faults[:] = faults
        terms = {"ber": 0.2, "seed": 5, **terms}
        query = {name: str(value) for name, value in terms.items() if value is not None}
        return self.edge.post("/v1/classify", params=query, content=IMAGE, headers=PNG)


@contextmanager
def running_line(folder: Path, store: Path) -> Iterator[Line]:
    """The nodes with the weights of a folder; the cloud's sessions in a folder of their own."""
    with (
        running_cloud(folder, f"sqlite://{store / 'sessions.sqlite3'}") as cloud,
        running_channel(str(cloud.http.base_url)) as channel,
        recording_proxy(str(channel.base_url)) as proxy,
        running_edge(folder, proxy.url) as (edge, _),
    ):
        yield Line(edge, channel, cloud.http, proxy)
