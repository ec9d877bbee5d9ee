# SPDX-License-Identifier: Apache-2.0
"""What the page hears: nodes and links as they change, nothing lost over a break, nothing twice, and rates."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from nodes import NOWHERE, running_channel, running_dashboard

from service.nodes.dashboard.watch import LinkRates
from service.wire import LinkCounters, LinkReport, NodeReport


@dataclass(frozen=True)
class Heard:
    """One event."""

    id: str
    name: str
    data: dict[str, object]


@contextmanager
def beside_a_channel() -> Iterator[httpx2.Client]:
    """A dashboard whose channel is there, and whose other nodes are not."""
    with (
        running_channel(NOWHERE) as channel,
        running_dashboard(edge=NOWHERE, cloud=NOWHERE, channel=str(channel.base_url)) as http,
    ):
        yield http


@contextmanager
def listening(http: httpx2.Client, last_id: str | None = None) -> Iterator[Iterator[Heard]]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with http.stream("GET", "/v1/events", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield _events(response)


def _events(response: httpx2.Response) -> Iterator[Heard]:
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif "data" in fields:
            yield Heard(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


def first(events: Iterator[Heard], kind: str, **wanted: object) -> Heard:
    """The first event of this name with these values; the test's own time limit is the stream's."""
    return next(event for event in events if event.name == kind and wanted.items() <= event.data.items())


def test_a_page_hears_of_all_nodes_and_links_and_of_each_change() -> None:
    with beside_a_channel() as http, listening(http) as events:
        seen: dict[tuple[str, object], Heard] = {}
        while len(seen) < 6:
            event = next(events)
            seen[event.name, event.data.get("role", event.data.get("name"))] = event
        assert NodeReport.model_validate(seen["node", "edge"].data).health == "down"
        assert LinkReport.model_validate(seen["link", "forward"].data).ber == 0
        http.patch("/v1/links/forward", json={"ber": 0.25})
        assert first(events, "link", name="forward").data["ber"] == 0.25


def test_after_a_break_only_what_is_new_comes() -> None:
    with beside_a_channel() as http:
        with listening(http) as events:
            first(events, "node", role="dashboard")
            http.patch("/v1/links/feedback", json={"ber": 0.125})
            known = first(events, "link", ber=0.125)
        http.patch("/v1/links/forward", json={"ber": 0.25})
        with listening(http, known.id) as events:
            again = first(events, "link")
            assert again.data["name"] == "forward", "the feedback link is known"
            assert again.data["ber"] == 0.25
            assert int(again.id.partition("-")[2]) > int(known.id.partition("-")[2])


def test_an_id_of_an_earlier_process_counts_for_nothing() -> None:
    with beside_a_channel() as http:
        for last_id in ("00000000-999", "nonsense", "-", "00000000-x"):
            with listening(http, last_id) as events:
                first(events, "link", name="forward")


def _link(bits: int, flipped: int, revision: int = 0) -> LinkCounters:
    return LinkCounters(name="forward", revision=revision, bits=bits, flipped_bits=flipped)


def test_rates_and_flips_come_from_counters() -> None:
    rates = LinkRates()
    assert rates.report(_link(1000, 90), 10.0).bits_per_s == 0
    second = rates.report(_link(3000, 290), 12.0)
    assert (second.bits_per_s, second.observed_bits, second.observed_flipped_bits) == (1000, 2000, 200)
    changed = rates.report(_link(3500, 290, revision=1), 13.0)
    assert (changed.bits_per_s, changed.observed_bits) == (500, 0), "observed since the settings changed"
    assert rates.report(_link(4500, 790, revision=1), 14.0).observed_flipped_bits == 500
    soon = rates.report(_link(4600, 800, revision=1), 14.1)
    assert (soon.bits_per_s, soon.observed_bits) == (1000, 1100), "too soon for a rate of its own"
    restarted = rates.report(_link(10, 1), 15.0)
    assert (restarted.bits_per_s, restarted.observed_bits) == (0, 0)
