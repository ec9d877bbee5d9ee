# SPDX-License-Identifier: Apache-2.0
"""Each node against its own OpenAPI document: whatever arrives, the answer is a documented one, of the documented form.

Schemathesis reads the document and makes the requests; images and frames among them are real ones, and damaged ones.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from generated_bodies import frame_payload, image_body
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from nodes import Sender, png, problem, running_channel, running_cloud, running_dashboard, running_edge
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from toy import toy_images

from models.image import FORMATS
from service.wire import IMAGE_TYPES, OCTETS, SEED

ROLES = ("edge", "channel", "cloud", "dashboard")
EXAMPLES = 12
#: A stream without an end; tests/test_service_dashboard_events.py reads it.
ENDLESS = "/v1/events"
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"deterministic": True, "max-examples": EXAMPLES, "database": "none"},
        "checks": {
            # What a parameter means is not in the schema: a system that takes no threshold refuses a valid one.
            "positive_data_acceptance": {"enabled": False},
        },
    }
)

#: What must have been met, or the requests were of one kind.
MET = {
    "edge": {("/v1/classify", 200), ("/v1/classify", 422), ("/v1/classify/batch", 422)},
    "channel": {("/v1/frames", 400), ("/v1/sessions/{session}/result", 410), ("/v1/links/{name}", 404)},
    "cloud": {("/v1/frames", 400), ("/v1/sessions/{session}/result", 410)},
    "dashboard": {("/v1/sweeps", 422), ("/v1/sweeps/{sweep}", 404), ("/v1/classify", 200), ("/v1/links/{name}", 404)},
}
IMAGE = png(toy_images(1)[0])
JSON = "application/json"
UNREADABLE = {
    "edge": (("POST", "/v1/classify/batch"), "multipart/form-data"),
    "channel": (("PATCH", "/v1/links/forward"), JSON),
    "cloud": (("POST", f"/v1/sessions/{'0' * 32}/result"), JSON),
    "dashboard": (("POST", "/v1/sweeps"), JSON),
}

for media_type in FORMATS:
    schemathesis.openapi.media_type(media_type, image_body(media_type))
schemathesis.openapi.media_type(OCTETS, frame_payload())


@pytest.fixture(scope="module")
def urls(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """All four nodes; sweeps find no data set."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        cloud = stack.enter_context(running_cloud(toy_folder, f"sqlite://{folder / 'sessions.sqlite3'}"))
        found = {"cloud": str(cloud.http.base_url)}
        found["channel"] = str(stack.enter_context(running_channel(found["cloud"])).base_url)
        found["edge"] = str(stack.enter_context(running_edge(toy_folder, found["channel"]))[0].base_url)
        page = stack.enter_context(running_dashboard(**found, data=folder / "none", weights=toy_folder))
        yield {**found, "dashboard": str(page.base_url)}


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_a_documented_one(role: str, urls: dict[str, str]) -> None:
    """Requests that fit the document, and requests that do not, of every operation."""
    schema = schemathesis.openapi.from_url(f"{urls[role]}/openapi.json", config=CONFIG)
    statuses, failures = Counter[tuple[str, int]](), []
    for found in schema.exclude(path=ENDLESS).get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _answers(operation, mode, statuses)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, "nothing fits the document"
            except Exception as failure:
                failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{role}: {dict(statuses)}", failures)
    assert set(statuses) >= MET[role], statuses
    assert max(status for _, status in statuses) < 500, "all peers are there"


def _answers(operation: schemathesis.APIOperation, mode: GenerationMode, statuses: Counter[tuple[str, int]]) -> None:
    """Some requests of an operation, each answer held against the document."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case) -> None:
        statuses[operation.path, case.call_and_validate().status_code] += 1

    answers()


@pytest.mark.parametrize("role", ["channel", "cloud"])
def test_a_frame_that_fits_is_answered_as_documented(role: str, urls: dict[str, str], toy_folder: Path) -> None:
    """What no generator finds: weights, sizes and digests that go together, in a session that goes on."""
    sender = Sender(toy_folder)
    for round_, status in ((1, 200), (1, 200), (3, 409), (2, 200)):
        frame = sender.frame(round_)
        answer = {"content": frame.payload, "headers": {**frame.headers(), SEED: "1"}}
        _answered_as_documented(urls[role], "POST", "/v1/frames", "/v1/frames", status, answer)
    result = f"/v1/sessions/{sender.session}/result"
    path = "/v1/sessions/{session}/result"
    _answered_as_documented(urls[role], "POST", path, result, 200, {"json": {"blocks": [0]}})


@pytest.mark.parametrize(
    ("role", "method", "path", "request_"),
    [
        ("edge", "POST", "/v1/classify/batch", {"files": [("images", ("a.png", IMAGE, "image/png"))] * 2}),
        ("channel", "GET", "/v1/links/{name}", {}),
        ("channel", "PATCH", "/v1/links/{name}", {"json": {"ber": 0.1}}),
        ("channel", "POST", "/v1/links/{name}/reset", {}),
        ("dashboard", "PATCH", "/v1/links/{name}", {"json": {"latency_ms": 0}}),
    ],
)
def test_what_fits_is_answered_as_documented(
    role: str, method: str, path: str, request_: dict[str, Any], urls: dict[str, str]
) -> None:
    """Names of links, and files in a form."""
    _answered_as_documented(urls[role], method, path, path.replace("{name}", "forward"), 200, request_)


def _answered_as_documented(url: str, method: str, path: str, real: str, status: int, request_: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=CONFIG)
    with httpx2.Client(base_url=url, timeout=60) as http:
        response = http.request(method, real, **request_)
        response.request.read()  # a form is a stream until then
    assert response.status_code == status, response.text
    schema[path][method].validate_response(response)


def test_one_list_of_image_types() -> None:
    assert set(IMAGE_TYPES) == set(FORMATS)


@pytest.mark.parametrize("role", ROLES)
def test_a_body_that_cannot_be_read_is_not_called_a_frame(role: str, urls: dict[str, str]) -> None:
    path, kind = UNREADABLE[role]
    with httpx2.Client(base_url=urls[role]) as http:
        found = problem(http.request(*path, content=b"\xff", headers={"Content-Type": kind}), 400)
    assert found.title == "The body cannot be read"


@pytest.mark.parametrize("role", ROLES)
def test_an_origin_that_is_none_is_another_site(role: str, urls: dict[str, str]) -> None:
    with httpx2.Client(base_url=urls[role]) as http:
        problem(http.post(UNREADABLE[role][0][1], headers={"Origin": "http://["}), 403)


@pytest.mark.parametrize("number", [False, "0"])
def test_a_number_is_neither_true_nor_false_nor_text(number: object, urls: dict[str, str]) -> None:
    """As the documents say. A link's latency was set to 0 by ``false``."""
    for role, method, path, body in (
        ("channel", "PATCH", "/v1/links/forward", {"latency_ms": number}),
        ("dashboard", "PATCH", "/v1/links/forward", {"ber": number}),
        ("cloud", "POST", f"/v1/sessions/{'0' * 32}/result", {"blocks": [number]}),
    ):
        with httpx2.Client(base_url=urls[role]) as http:
            problem(http.request(method, path, json=body), 422)


@pytest.mark.parametrize("role", ["channel", "cloud"])
def test_a_block_is_asked_for_once(role: str, urls: dict[str, str], toy_folder: Path) -> None:
    """Closing a block twice in one request means nothing; the results would not be as many as the blocks."""
    sender = Sender(toy_folder, images=2)
    frame = sender.frame(1)
    path = f"/v1/sessions/{sender.session}/result"
    with httpx2.Client(base_url=urls[role], timeout=60) as http:
        sent = http.post("/v1/frames", content=frame.payload, headers={**frame.headers(), SEED: "1"})
        assert sent.status_code == 200, sent.text
        for blocks in ([0, 0], [1, 0, 1]):
            found = problem(http.post(path, json={"blocks": blocks}), 422)
            assert "a block is named more than once" in found.detail
        answer = http.post(path, json={"blocks": [1, 0]})
        assert [each["block"] for each in answer.json()["results"]] == [1, 0]
