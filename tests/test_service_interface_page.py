# SPDX-License-Identifier: Apache-2.0
"""``/docs`` of every node: the whole interface, without a script or anything from elsewhere."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest
from four_nodes import ROLES, Nodes, four_nodes

from service.interface_page import InterfacePage


@pytest.fixture(scope="module")
def nodes(toy_folder: Path) -> Iterator[Nodes]:
    with four_nodes(toy_folder) as each:
        yield each


#: All that the page is made of.
ELEMENTS = {
    "html",
    "meta",
    "title",
    "style",
    "h1",
    "h2",
    "h3",
    "p",
    "a",
    "code",
    "pre",
    "table",
    "tr",
    "th",
    "td",
    "br",
}


class Elements(HTMLParser):
    """The elements of a page, its text, and whether each element that must end has ended."""

    _VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(node: httpx2.Client) -> Elements:
    response = node.get("/docs")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    return Elements(response.text)


@pytest.mark.parametrize("role", ROLES)
def test_it_has_every_route_parameter_status_and_schema(nodes: Nodes, role: str) -> None:
    document, page = nodes[role].get("/openapi.json").json(), page_of(nodes[role])
    assert page.open == []
    anchors = {attributes["id"] for tag, attributes in page.found if tag == "h3" and "id" in attributes}
    assert anchors == set(document["components"]["schemas"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}\n{operation['summary']}" in page.text
            for parameter in operation.get("parameters", []):
                assert parameter["name"] in page.text
            for status, answer in operation["responses"].items():
                assert f"{status}" in page.text
                assert answer["description"] in page.text
    targets = [attributes["href"] or "" for tag, attributes in page.found if tag == "a"]
    assert {target for target in targets if not target.startswith("#")} == {"/openapi.json"}
    assert {target[1:] for target in targets if target.startswith("#")} <= anchors


def test_examples_are_shown_as_they_are_answered(nodes: Nodes) -> None:
    text = page_of(nodes["edge"]).text
    assert '"outcome": "accepted"' in text
    assert "event: round" in text
    assert "image/webp" in text
    assert "at least 0.0, at most 0.5" in text, "the BER's bounds"
    assert '"data_set": "cifar100-test"' in page_of(nodes["dashboard"]).text


@pytest.mark.parametrize("role", ROLES)
def test_it_runs_and_loads_nothing(nodes: Nodes, role: str) -> None:
    response = nodes[role].get("/docs")
    style = re.search("<style>(.*?)</style>", response.text, re.DOTALL)
    assert style
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    assert response.headers["Content-Security-Policy"] == policy
    tags = {tag for tag, _ in page_of(nodes[role]).found}
    assert tags <= ELEMENTS


@pytest.mark.parametrize("role", ROLES)
def test_the_frameworks_own_pages_are_not_there(nodes: Nodes, role: str) -> None:
    """They run scripts from elsewhere, in the node's own origin."""
    assert nodes[role].get("/redoc").status_code == nodes[role].get("/docs/oauth2-redirect").status_code == 404


def test_what_a_document_says_never_becomes_an_element() -> None:
    evil = "<script>alert(1)</script>\"'&"
    schema = {"type": evil, "description": evil, "default": evil, "pattern": evil}
    document = {
        "info": {"title": evil, "description": evil, "version": evil},
        "paths": {f"/{evil}": {"get": {
            "summary": evil, "description": evil,
            "parameters": [{"name": evil, "in": "query", "description": evil, "example": evil, "schema": schema}],
            "requestBody": {"content": {evil: {"schema": {"enum": [evil]}, "examples": {evil: {"value": {evil: 1}}}}}},
            "responses": {"200": {"description": evil, "content": {evil: {"schema": schema, "example": evil}}}},
        }}},
        "components": {"schemas": {evil: {"description": evil, "properties": {evil: {"anyOf": [
            {"$ref": f"#/components/schemas/{evil}"}, {"const": evil}, {"type": "array", "items": schema},
            {"additionalProperties": schema},
        ]}}}, "other": schema}},
    }  # fmt: skip  # an OpenAPI document, as flat as it can be
    body = InterfacePage(document).body
    page = Elements(bytes(body).decode())
    assert "script" not in {tag for tag, _ in page.found}
    assert page.open == []
    assert page.text.count("alert(1)") > 15
    assert "&lt;" not in unescape(page.text)
