# SPDX-License-Identifier: Apache-2.0
"""The client's requests, read back as the node sees them, and its answers, compared with what the node sent."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from fake_edge import classification

from client import Client, ImageFileError, Node, SpikeLinkError
from client.images import media_type_of
from service.wire import BatchClassification, LinkCounters, NodeInfo, Readiness

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
JPEG = b"\xff\xd8\xff\xe0" + b"rest"
WEBP = b"RIFF\x04\x00\x00\x00WEBPVP8 "

Handler = Callable[[httpx2.Request], httpx2.Response]


class Recorder(httpx2.MockTransport):
    """A node that answers everything with one JSON document and keeps the requests."""

    def __init__(self, answer: str, status: int = 200) -> None:
        self.requests: list[httpx2.Request] = []

        def handle(request: httpx2.Request) -> httpx2.Response:
            self.requests.append(request)
            return httpx2.Response(status, text=answer, headers={"Content-Type": "application/json"})

        super().__init__(handle)


def test_classify_sends_the_files_bytes_and_only_the_parameters_that_were_given(tmp_path: Path) -> None:
    path = tmp_path / "a picture.txt"
    path.write_bytes(JPEG)
    expected = classification()
    node = Recorder(expected.model_dump_json())
    with Client("http://edge:8001/", transport=node) as client:
        assert client.classify(path, ber=0.1, seed=2**53 - 1) == expected
        client.classify(str(path), threshold=-0.25, block=3, system="multi-rate", profile="resnet18", t=5)
        client.classify(PNG)
    assert [str(request.url) for request in node.requests] == [
        "http://edge:8001/v1/classify?ber=0.1&seed=9007199254740991",
        "http://edge:8001/v1/classify?threshold=-0.25&block=3&system=multi-rate&profile=resnet18&t=5",
        "http://edge:8001/v1/classify",
    ]
    assert node.requests[0].content == JPEG
    assert [request.headers["Content-Type"] for request in node.requests] == ["image/jpeg", "image/jpeg", "image/png"]
    assert "Authorization" not in node.requests[0].headers


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5e-324, 0.30000000000000004])
def test_a_float_is_sent_in_a_form_that_reads_back_exactly(value: float) -> None:
    node = Recorder(classification().model_dump_json())
    Client(transport=node).classify(PNG, ber=value)
    assert float(node.requests[0].url.params["ber"]) == value


def test_a_batch_is_one_multipart_request_with_blocks_as_ranges() -> None:
    expected = BatchClassification(
        results=(classification(block=0), classification(block=1), classification(block=9)),
        session="0" * 32,
        exchanges=3,
        wire_bytes=10,
        total_ms=1.0,
    )
    node = Recorder(expected.model_dump_json())
    assert Client(transport=node).classify_batch([PNG, JPEG, WEBP], ber=0.2, blocks=[0, 1, 9]) == expected
    (request,) = node.requests
    assert request.url.path == "/v1/classify/batch"
    assert dict(request.url.params) == {"ber": "0.2", "blocks": "0-1,9"}
    assert request.headers["Content-Type"].startswith("multipart/form-data")
    for content, kind in ((PNG, b"image/png"), (JPEG, b"image/jpeg"), (WEBP, b"image/webp")):
        assert b"Content-Type: " + kind + b"\r\n\r\n" + content in request.content
    assert request.content.count(b'name="images"') == 3


@pytest.mark.parametrize(("count", "blocks"), [(0, None), (257, None), (2, [1]), (2, [])])
def test_a_batch_of_the_wrong_size_is_refused_before_anything_is_sent(count: int, blocks: list[int] | None) -> None:
    node = Recorder("{}")
    with pytest.raises(ValueError, match=r"images"):
        Client(transport=node).classify_batch([PNG] * count, blocks=blocks)
    assert node.requests == []


def test_the_links_are_read_changed_and_reset_at_the_channel_with_the_admin_token() -> None:
    link = LinkCounters(name="forward", revision=2, ber=0.1, bits=100, flipped_bits=10)
    one, many = Recorder(link.model_dump_json()), Recorder(json.dumps([link.model_dump()]))
    client = Client(channel_url="http://channel:1", token="user", admin_token="admin", transport=one)
    assert client.change_link("forward", ber=0.1) == link
    assert client.change_link("a/../b", latency_ms=3.0) == link
    assert client.reset_links("feedback") == [link]
    client = Client(channel_url="http://channel:1", token="user", transport=many)
    assert client.links() == [link]
    assert client.reset_links() == [link]
    asked = [(r.method, r.url.raw_path, r.content, r.headers["Authorization"]) for r in one.requests + many.requests]
    assert asked == [
        ("PATCH", b"/v1/links/forward", b'{"ber":0.1}', "Bearer admin"),
        ("PATCH", b"/v1/links/a%2F..%2Fb", b'{"latency_ms":3.0}', "Bearer admin"),
        ("POST", b"/v1/links/feedback/reset", b"", "Bearer admin"),
        ("GET", b"/v1/links", b"", "Bearer user"),
        ("POST", b"/v1/reset", b"", "Bearer user"),
    ]


def test_a_links_value_out_of_range_is_named_before_anything_is_sent() -> None:
    node = Recorder("{}")
    with pytest.raises(ValueError, match=r"ber: Input should be less than or equal to 0\.5"):
        Client(channel_url="http://channel:1", transport=node).change_link("forward", ber=0.6)
    with pytest.raises(ValueError, match=r"latency_ms: .*finite"):
        Client(channel_url="http://channel:1", transport=node).change_link("forward", latency_ms=float("inf"))
    assert node.requests == []


def test_links_need_the_channels_url() -> None:
    with pytest.raises(SpikeLinkError, match="channel_url="):
        Client().links()


def test_information_and_readiness_are_typed_and_not_being_ready_is_an_answer() -> None:
    info = NodeInfo(role="edge", version="0.1.0", pid=7)
    assert Client(transport=Recorder(info.model_dump_json())).info() == info
    waiting = Readiness(ready=False, checks={"channel": "unreachable"})
    assert Client(transport=Recorder(waiting.model_dump_json(), 503)).ready() == waiting
    assert Node("http://x", transport=Recorder('{"status": "ok", "role": "edge"}')).health()["role"] == "edge"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (WEBP, "image/webp"),
        (b"GIF89a", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ],
)
def test_the_media_type_is_read_from_the_first_bytes(content: bytes, expected: str | None) -> None:
    assert media_type_of(content) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.png", None, "there is no file"),
        ("animation.gif", b"GIF89a", "no PNG, JPEG or WebP; convert it"),
        ("empty.png", b"", "the file is empty"),
        (".", None, "is a folder"),
        ("null\0byte.png", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_sent_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    node = Recorder("{}")
    with pytest.raises(ImageFileError, match=message) as caught:
        Client(transport=node).classify(path)
    assert "\n" not in str(caught.value)
    assert node.requests == []


def test_a_media_type_that_is_given_is_sent_as_it_is_for_the_edge_to_judge() -> None:
    node = Recorder(classification().model_dump_json())
    Client(transport=node).classify(b"GIF89a", media_type="image/gif")
    assert node.requests[0].headers["Content-Type"] == "image/gif"
