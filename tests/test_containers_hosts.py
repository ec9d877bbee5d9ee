# SPDX-License-Identifier: Apache-2.0
"""docker/hosts/*.yml: each file as a compose project of its own, which meet at this machine's address alone."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest
from containers import Project, build_images, classify, engine_problem, outcome, require, run, started

from cli.tokens import TOKEN_FILES, write_tokens
from client import Client

pytestmark = pytest.mark.containers

PORTS = {"cloud": 8003, "channel": 8002, "edge": 8001}
UPSTREAMS = {"cloud": None, "channel": "cloud", "edge": "channel"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token files that the images' users may read, as docs/deploy.md says."""
    folder = tmp_path_factory.mktemp("tokens")
    write_tokens(folder)
    for name in TOKEN_FILES:
        if os.geteuid() == 0:
            os.chown(folder / name, 10001, 10001)
        else:
            (folder / name).chmod(0o444)
    return folder


def bridge_address() -> str:
    """This machine's address on Docker's bridge, which every container reaches."""
    ipam = json.loads(run("docker", "network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"))
    return ipam.get("Gateway") or str(next(ip_network(ipam["Subnet"]).hosts()))


@pytest.fixture(scope="module")
def hosts(tokens: Path) -> Iterator[dict[str, Project]]:
    """The three projects, started from the cloud on. The address of Docker's bridge stands for all hosts."""
    require(engine_problem())
    build_images()
    address = bridge_address()
    projects = {}
    with ExitStack() as stack:
        for role, upstream in UPSTREAMS.items():
            env = {"BIND_ADDRESS": address, "TOKENS": str(tokens)}
            if upstream:
                env["UPSTREAM"] = f"http://{address}:{PORTS[upstream]}"
            project = Project(f"spikelink-test-{os.getpid()}-{role}", f"docker/hosts/{role}.yml", env)
            projects[role] = stack.enter_context(started(project))
            project.wait_healthy(role)
        yield projects


def test_an_image_is_classified_over_three_hosts(hosts: dict[str, Project], tokens: Path) -> None:
    url = hosts["edge"].url("edge", PORTS["edge"])
    with Client(url, token=(tokens / "token").read_text().strip()) as client:
        first, again = classify(client), classify(client)
    assert len(first.rounds) == 5
    assert first.durable
    assert outcome(first) == outcome(again)


def test_the_cloud_keeps_its_sessions_when_its_container_is_replaced(hosts: dict[str, Project]) -> None:
    file = "/var/lib/spikelink/sessions.sqlite"
    before = hosts["cloud"].execute("cloud", "stat", "-c", "%i", file)
    hosts["cloud"].compose("up", "-d", "--force-recreate")
    hosts["cloud"].forget()
    hosts["cloud"].wait_healthy("cloud")
    assert hosts["cloud"].execute("cloud", "stat", "-c", "%i", file) == before


@pytest.mark.parametrize("role", ["cloud", "edge"])
def test_the_admin_token_stays_with_the_channel(hosts: dict[str, Project], role: str) -> None:
    assert hosts[role].execute(role, "ls", "/run/spikelink") == "token"
    assert hosts["channel"].execute("channel", "ls", "/run/spikelink").split() == ["admin_token", "token"]
