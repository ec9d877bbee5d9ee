# SPDX-License-Identifier: Apache-2.0
"""Three hosts without Docker: a node in each of three network namespaces, linked in a row as docs/deploy.md says.

::

    edge  10.203.1.1 ---- 10.203.1.2  channel  10.203.2.1 ---- 10.203.2.2  cloud
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bound_process import bound
from containers import PROBE, ROOT, picture, require, run, until

from cli.tokens import write_tokens

ROLES = ("cloud", "channel", "edge")
ADDRESS = {"edge": "10.203.1.1", "channel": "10.203.1.2", "cloud": "10.203.2.2"}
CHANNEL_TO_CLOUD = "10.203.2.1"
PORT = {"edge": 8001, "channel": 8002, "cloud": 8003}
_STARTED_S = 90
_STOPPED_S = 30


def namespace_problem() -> str | None:
    """Why no network namespace can be made here, or None."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    name = _name("probe")
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    run("ip", "netns", "delete", name)
    return None


def _name(role: str) -> str:
    return f"sl{os.getpid()}-{role}"


@contextmanager
def namespace(role: str) -> Iterator[None]:
    """A network of its own with loopback alone, removed at the end with the links that lead into it."""
    run("ip", "netns", "add", _name(role))
    try:
        run("ip", "-n", _name(role), "link", "set", "lo", "up")
        yield
    finally:
        run("ip", "netns", "delete", _name(role))


def connect(first: str, first_address: str, second: str, second_address: str) -> None:
    """A cable between two namespaces."""
    near, far = f"to-{second}", f"to-{first}"
    ends = ("peer", "name", far, "netns", _name(second))
    run("ip", "link", "add", near, "netns", _name(first), "type", "veth", *ends)
    for role, device, address in ((first, near, first_address), (second, far, second_address)):
        run("ip", "-n", _name(role), "address", "add", f"{address}/24", "dev", device)
        run("ip", "-n", _name(role), "link", "set", device, "up")


def inside(role: str, *command: str) -> tuple[str, ...]:
    """A command as it is run on a host."""
    return ("ip", "netns", "exec", _name(role), *command)


@contextmanager
def node(role: str, environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """``spikelink node ROLE`` on its host, ready, and stopped at the end."""
    command = inside(role, sys.executable, "-m", "cli", "node", role)
    with log.open("w") as output:
        process = bound(
            command,
            lambda whole: subprocess.Popen(
                whole, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
            ),
        )
    ready = f"import urllib.request as u; u.urlopen('http://{ADDRESS[role]}:{PORT[role]}/readyz', timeout=4)"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        probe = inside(role, sys.executable, "-c", ready)
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    try:
        until(f"the {role} is ready", answers, _STARTED_S)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOPPED_S)
        finally:
            process.kill()
            process.wait()


def settings(role: str, tokens: Path, weights: Path) -> dict[str, str]:
    """The environment of a node, as an operator would set it."""
    values = {
        "SPIKELINK_HOST": "0.0.0.0" if role == "channel" else ADDRESS[role],
        "SPIKELINK_PORT": str(PORT[role]),
        "SPIKELINK_TOKEN_FILE": str(tokens / "token"),
    }
    if role == "channel":
        values |= {"SPIKELINK_ADMIN_TOKEN_FILE": str(tokens / "admin_token")}
        values |= {"SPIKELINK_UPSTREAM": f"http://{ADDRESS['cloud']}:{PORT['cloud']}"}
    else:
        values |= {"SPIKELINK_WEIGHTS": str(weights), "SPIKELINK_DEVICE": "cpu"}
    if role == "edge":
        values |= {"SPIKELINK_UPSTREAM": f"http://{ADDRESS['channel']}:{PORT['channel']}"}
    if role == "cloud":
        values |= {"SPIKELINK_STORE": f"sqlite:///{tokens.parent / 'sessions.sqlite'}"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPIKELINK_")}
    return inherited | values


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosts") / "tokens"
    write_tokens(folder)
    return folder


@pytest.fixture(scope="module")
def hosts(tokens: Path, toy_folder: Path) -> Iterator[None]:
    """Three hosts in a row with a node on each."""
    require(namespace_problem())
    with ExitStack() as stack:
        for role in ROLES:
            stack.enter_context(namespace(role))
        # Where Docker runs, namespaces start as routers; a host is none unless somebody makes it one.
        run(*inside("channel", "sysctl", "-qw", "net.ipv4.ip_forward=0"))
        connect("edge", ADDRESS["edge"], "channel", ADDRESS["channel"])
        connect("channel", CHANNEL_TO_CLOUD, "cloud", ADDRESS["cloud"])
        for role in ROLES:
            stack.enter_context(node(role, settings(role, tokens, toy_folder), tokens.parent / f"{role}.log"))
        yield


def spikelink(role: str, *arguments: str) -> str:
    """What the command line prints on a host."""
    return run(*inside(role, sys.executable, "-m", "cli", *arguments))


def classified(tokens: Path) -> dict[str, Any]:
    """All five rounds of one image, from the edge's host."""
    image = tokens.parent / "image.png"
    image.write_bytes(picture())
    edge = f"http://{ADDRESS['edge']}:{PORT['edge']}"
    options = ("--ber", "0.1", "--seed", "7", "--threshold", "1", "--json")
    where = ("--edge", edge, "--token-file", str(tokens / "token"))
    result: dict[str, Any] = json.loads(spikelink("edge", "classify", str(image), *options, *where))
    return result


def test_an_image_is_classified_over_three_hosts(hosts: None, tokens: Path) -> None:
    result = classified(tokens)
    assert result["outcome"] == "exhausted"
    assert [entry["t"] for entry in result["rounds"]] == [4, 5, 6, 7, 8]
    assert result["durable"]


def test_the_channel_is_changed_from_its_own_host(hosts: None, tokens: Path) -> None:
    where = ("--channel", f"http://127.0.0.1:{PORT['channel']}", "--token-file", str(tokens / "admin_token"))
    spikelink("channel", "channel", "set", "--ber", "0.25", *where)
    assert "0.25" in spikelink("channel", "channel", "show", *where)
    spikelink("channel", "channel", "reset", *where)


def test_a_host_that_vanishes_without_a_word_is_asked_again(hosts: None, tokens: Path) -> None:
    """No FIN, no RST, no ARP error: its packets go nowhere, on a connection that has been open since the last image."""
    admin = ("--channel", f"http://127.0.0.1:{PORT['channel']}", "--token-file", str(tokens / "admin_token"))

    def sent_bits() -> int:
        links = json.loads(spikelink("channel", "channel", "show", "--json", *admin))
        return next(int(link["bits"]) for link in links if link["name"] == "forward")

    undisturbed, before = classified(tokens), sent_bits()
    blackhole = ("blackhole", f"{CHANNEL_TO_CLOUD}/32")
    run("ip", "-n", _name("cloud"), "route", "add", *blackhole)
    with ThreadPoolExecutor(1) as pool:
        try:
            running = pool.submit(classified, tokens)
            until("the first frame is sent again", lambda: running.done() or sent_bits() >= before + 2 * 2080, 30)
        finally:
            run("ip", "-n", _name("cloud"), "route", "delete", *blackhole)
        result = running.result(60)
    assert result["http_retries"] > 0
    assert [entry["flipped_bits"] for entry in result["rounds"]] == [
        entry["flipped_bits"] for entry in undisturbed["rounds"]
    ]
    assert [result["outcome"], result["top"]] == [undisturbed["outcome"], undisturbed["top"]]


def test_the_edge_has_no_way_to_the_cloud_but_the_channel(hosts: None) -> None:
    targets = [f"{address}:{port}" for address, port in ((ADDRESS["channel"], 8002), (ADDRESS["cloud"], 8003))]
    assert run(*inside("channel", sys.executable, "-c", PROBE, *targets)).split() == ["open", "open"]
    assert run(*inside("edge", sys.executable, "-c", PROBE, targets[0])).split() == ["open"]
    assert "open" not in run(*inside("edge", sys.executable, "-c", PROBE, targets[1]))

    # Nor does the channel forward packets when the edge is given a route.
    run("ip", "-n", _name("edge"), "route", "add", "10.203.2.0/24", "via", ADDRESS["channel"])
    run("ip", "-n", _name("cloud"), "route", "add", "10.203.1.0/24", "via", CHANNEL_TO_CLOUD)
    assert "open" not in run(*inside("edge", sys.executable, "-c", PROBE, targets[1]))


def test_a_node_refuses_a_reachable_address_without_a_token(tmp_path: Path) -> None:
    values = {name: value for name, value in os.environ.items() if not name.startswith("SPIKELINK_")}
    values["SPIKELINK_HOST"] = "0.0.0.0"
    command = [sys.executable, "-m", "cli", "node", "channel"]
    done = subprocess.run(command, cwd=ROOT, env=values, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode
    assert "SPIKELINK_TOKEN" in done.stderr
