# SPDX-License-Identifier: Apache-2.0
"""docs/security.md: each of its tests exists; and those of its lines that are about all nodes or all of the code."""

import ast
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.datastructures import Headers
from four_nodes import ROLES, Nodes, four_nodes, routes
from nodes import problem

from models.weights import WeightsError
from service.guard import OPEN_PATHS, bearer_of
from service.nodes.cloud.app import create_cloud
from service.nodes.edge.app import create_edge
from service.settings import CloudSettings, EdgeSettings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "security.md"
PACKAGES = ("channel", "models", "service", "client", "experiments", "cli")
#: The one reader of pickles; it knows three names and calls none of them (test_experiments_data.py).
READS_PICKLES = "experiments/data/python_version.py"
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
#: What a parameter might be called that names an address or a file.
TELLING = re.compile(
    r"ur[il]\b|host|upstream|address|endpoint|callback|webhook|redirect|proxy|server|path|(?<!pro)file|folder|dir\b"
)


@pytest.fixture(scope="module")
def nodes(toy_folder: Path) -> Iterator[Nodes]:
    with four_nodes(toy_folder, token="of-the-nodes") as each:
        yield each


def threats() -> list[tuple[str, list[tuple[str, str]]]]:
    """The lines of the page's table of threats: what is threatened, and each test's file and name."""
    table = PAGE.read_text(encoding="utf-8").partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {3}
    return [(threat.strip(), re.findall(r"`(\w+\.py)::(\w+)`", tests)) for threat, _, tests in rows[1:]]


@pytest.mark.parametrize(("threat", "tests"), threats(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_threat_names_tests_that_exist(threat: str, tests: list[tuple[str, str]]) -> None:
    assert tests, threat
    for file, name in tests:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in defined, f"{file}::{name}"


def test_the_page_names_tests_nowhere_else_and_is_found() -> None:
    named = sum(len(tests) for _, tests in threats())
    assert named == len(re.findall(r"\.py::", PAGE.read_text(encoding="utf-8"))) > 40
    for page in ("README.md", "docs/deploy.md"):
        assert "security.md)" in (ROOT / page).read_text(encoding="utf-8"), page


@pytest.mark.parametrize("role", ROLES)
def test_every_route_but_the_open_ones_wants_the_token(nodes: Nodes, role: str) -> None:
    closed = [(method, path) for method, path in routes(nodes[role]) if path not in OPEN_PATHS]
    assert closed
    for method, path in (*closed, ("GET", "/v1/absent")):
        for wrong in ("", "Bearer of-the-node", "Bearer of-the-nodes2", "Basic of-the-nodes", "of-the-nodes"):
            refusal = nodes[role].request(method, path, headers={"Authorization": wrong})
            problem(refusal, 401)
            assert refusal.headers["WWW-Authenticate"] == "Bearer"
    for path in OPEN_PATHS:
        assert nodes[role].get(path).status_code in (200, 503)


@pytest.mark.parametrize("given", ["aa", "bb", "cc", "dd", ""])
def test_tokens_are_compared_in_constant_time_and_all_of_them(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []
    compare = secrets.compare_digest

    def counted(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(secrets, "compare_digest", counted)
    tokens = (b"aa", b"bb", b"cc")
    found = bearer_of(Headers({"Authorization": f"Bearer {given}"}), tokens)
    assert found == (tokens.index(given.encode()) if given.encode() in tokens else None)
    assert compared == [(given.encode(), token) for token in tokens]


def asked_for(document: dict[str, object], value: object) -> Iterator[tuple[str, str]]:
    """Name and format of everything in a schema of what is sent."""
    if isinstance(value, list):
        for entry in value:
            yield from asked_for(document, entry)
    elif isinstance(value, dict):
        if "$ref" in value:
            name = str(value["$ref"]).rpartition("/")[2]
            yield from asked_for(document, document["components"]["schemas"][name])  # type: ignore[index]
        for key, entry in value.items():
            if key == "properties":
                yield from ((name, str(each.get("format", ""))) for name, each in entry.items())
            yield from asked_for(document, entry)


@pytest.mark.parametrize("role", ROLES)
def test_no_request_names_an_address_or_a_file(nodes: Nodes, role: str) -> None:
    """A sweep's specification is free JSON here; that it may name no folder, test_service_dashboard_sweeps.py holds."""
    document = nodes[role].get("/openapi.json").json()
    found: set[tuple[str, str]] = set()
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                found.add((parameter["name"], str(parameter["schema"].get("format", ""))))
                found.update(asked_for(document, parameter["schema"]))
            found.update(asked_for(document, operation.get("requestBody", {}).get("content", {})))
    assert found
    for name, form in found:
        assert not TELLING.search(name.lower()), name
        assert form not in ("uri", "uri-reference", "iri", "hostname", "ipv4", "ipv6"), name


def test_the_walk_sees_nested_addresses() -> None:
    document = {"components": {"schemas": {"Peer": {"properties": {"upstream_url": {"format": "uri"}}}}}}
    wrapped = {"application/json": {"schema": {"anyOf": [{"items": {"$ref": "#/components/schemas/Peer"}}]}}}
    assert set(asked_for(document, wrapped)) == {("upstream_url", "uri")}
    assert TELLING.search("upstream_url")


def edge_on(weights: Path) -> FastAPI:
    return create_edge(EdgeSettings(weights=weights, device="cpu"))


def cloud_on(weights: Path) -> FastAPI:
    return create_cloud(CloudSettings(weights=weights, device="cpu", store="memory://"))


@pytest.mark.parametrize(("part", "start"), [("encoder", edge_on), ("converter", cloud_on)])
def test_a_node_does_not_start_on_weights_that_were_altered(
    toy_folder: Path, tmp_path: Path, part: str, start: Callable[[Path], FastAPI]
) -> None:
    folder = Path(shutil.copytree(toy_folder, tmp_path / "weights", copy_function=os.link))
    path = folder / "resnet18" / f"{part}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="sha256 differs"):
        start(folder)


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, object]]]:
    """Each call's function and the constants that it is given by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values = {word.arg: word.value.value for word in node.keywords
                      if word.arg and isinstance(word.value, ast.Constant)}  # fmt: skip
            yield ast.unparse(node.func), values


def faults(source: str, path: str) -> Iterator[str]:
    """What in a module may run code out of data."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if path != READS_PICKLES:
            yield from (name for name in names if name.partition(".")[0] in UNPICKLING)
    for function, given in calls(tree):
        unsafe = {
            "torch.load": given.get("weights_only") is not True,
            "np.load": given.get("allow_pickle", False) is not False,
            "eval": True,
            "exec": True,
            "os.system": True,
        }
        if unsafe.get(function, given.get("shell") is True):
            yield function


def test_nothing_unpickles() -> None:
    """Nor runs what it reads in another way."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(paths) > 100
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        assert list(faults(path.read_text(encoding="utf-8"), name)) == [], name
    harmful = (
        "import pickle\nfrom joblib import load\ntorch.load(p)\nnp.load(p, allow_pickle=True)\neval(s)\n"
        "subprocess.run(s, shell=True)"
    )
    assert list(faults(harmful, "x.py")) == ["pickle", "joblib", "torch.load", "np.load", "eval", "subprocess.run"]
