# SPDX-License-Identifier: Apache-2.0
"""The commands against nodes without networks, some as processes of their own: what they print, how they fail."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_edge import classification
from test_cli_ladder import drawn
from typer.testing import CliRunner, Result

from cli import options
from cli.app import main
from cli.processes import Launch, Nodes, Ports, running_nodes
from client import TIMEOUT_S, Client, NodeUnreachableError, Progress
from experiments.sweeps.means import Edge
from service.settings import DashboardSettings, EdgeSettings
from service.wire import Classification, Start
from service.wire.deadlines import LONGER_S

FAKE = (sys.executable, str(Path(__file__).with_name("fake_edge.py")))
HEAVY = {"torch", "numpy", "fastapi", "starlette", "uvicorn", "aiohttp", "PIL", "skimage", "models", "channel"}
JPEG = b"\xff\xd8\xff\xe0rest"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    launch = Launch(command=FAKE, environment={"channel": {"FAKE_TOKEN": "admin-secret"}})
    with running_nodes(Ports(0, 0, 0), launch) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(JPEG)
    return path


def spikelink(*arguments: object, **variables: str) -> Result:
    """The command in this process; its nodes are processes all the same."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env={"COLUMNS": "80", **variables})


def process(*arguments: object, code: str = "from cli.app import main; main()") -> "subprocess.CompletedProcess[str]":
    """The command as a process of its own, without a terminal."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPIKELINK_")}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**inherited, "COLUMNS": "80", "NO_COLOR": "1"},
    )


def assert_one_line(done: Result, *parts: str, code: int = 1) -> None:
    assert done.exit_code == code
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("spikelink"), done.stderr
    for part in parts:
        assert part in done.stderr


def test_classify_draws_the_ladder(nodes: Nodes, image: Path) -> None:
    done = process("classify", image, "--ber", 0.1, "--seed", 7, "--edge", nodes.urls["edge"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == drawn(classification())


def test_what_fails_in_the_middle_leaves_the_rounds_so_far_and_one_line(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = classification()

    def broken(*_: object, **terms: object) -> Iterator[Progress]:
        yield Start.model_validate(result.model_dump(include=set(Start.model_fields)))
        yield result.rounds[0]
        raise NodeUnreachableError("the edge has gone")

    monkeypatch.setattr(Client, "stream", broken)
    done = spikelink("classify", image)
    assert_one_line(done, "the edge has gone")
    assert done.stdout.splitlines() == drawn(result).splitlines()[:4]


def test_classify_as_json_prints_the_answer_and_nothing_else(nodes: Nodes, image: Path, tmp_path: Path) -> None:
    options = ("--seed", 5, "--block", 3, "--svg", tmp_path / "ladder.svg")
    done = spikelink("classify", image, "--json", *options, SPIKELINK_EDGE=nodes.urls["edge"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert Classification.model_validate_json(done.stdout) == classification(ber=0.0, seed=5, block=3)
    assert json.loads(done.stdout)["rounds"][0]["feedback"] == "ACK"
    assert "2,080&#160;bits" in (tmp_path / "ladder.svg").read_text()


def test_the_output_survives_a_reader_that_stops_early(nodes: Nodes, image: Path) -> None:
    command = f"{sys.executable} -m cli classify {image} --edge {nodes.urls['edge']} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["edge", "channel", "cloud"]
    assert done.stderr == ""


def test_a_dead_edge_is_one_line(image: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = process("classify", image, "--edge", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"spikelink: nothing answers as the edge at {url}: start it, or give its URL\n"


def test_an_edge_that_does_not_answer_in_time_is_one_line(image: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = spikelink("classify", image, "--edge", url, "--timeout-s", 0.1)
    assert_one_line(done, "did not answer within 0.1 s")


def test_the_wait_for_an_answer_is_the_clients_and_outlasts_the_edges_deadline() -> None:
    assert options.TIMEOUT_S == TIMEOUT_S == Edge("", None).timeout_s
    assert TIMEOUT_S == EdgeSettings().deadline_s + LONGER_S == DashboardSettings().deadline_s + LONGER_S


def test_a_refusal_is_one_line_with_its_status(nodes: Nodes, image: Path) -> None:
    done = spikelink("classify", image, "--profile", "resnet50", "--edge", nodes.urls["edge"])
    assert_one_line(done, "profile resnet50 has no weights (HTTP 503); try again in 30 s")


@pytest.mark.parametrize(
    ("arguments", "part", "code"),
    [
        (("classify", "absent.png"), "there is no file absent.png", 1),
        (("classify", __file__), "its first bytes are no PNG, JPEG or WebP", 1),
        (("classify", "/"), "is a folder", 1),
        (("classify", "a.png", "--edge", "localhost:8001"), "is no URL of a node", 1),
        (("classify", "a.png", "--token-file", "/absent"), "/absent cannot be read: No such file", 1),
        (("classify", "a.png", "--token-file", os.devnull), "holds no token", 1),
        (("classify",), "missing argument 'IMAGE'", 2),
        (("classify", "a.png", "--ber", "0.6"), "'--ber': Input should be less than or equal to 0.5", 2),
        (("classify", "a.png", "--ber", "nan"), "'--ber'", 2),
        (("classify", "a.png", "--bre", "0.1"), "no such option: --bre", 2),
        (("clasify", "a.png"), "Did you mean 'classify'?", 2),
        (("channel",), "missing command", 2),
        (("channel", "set"), "nothing to change: give --ber", 1),
        (("channel", "set", "feedback", "--ber", "0.1", "--feedback-ber", "0.2"), "give one of them", 1),
        (("node", "dashbord"), "'dashbord' is not one of 'edge', 'channel', 'cloud', 'dashboard'", 2),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], part: str, code: int) -> None:
    done = spikelink(*arguments)
    assert_one_line(done, part, code=code)
    assert done.stdout == ""


def test_without_arguments_the_commands_are_listed() -> None:
    done = spikelink()
    assert done.exit_code == 0
    for name in ("classify", "channel", "status", "demo", "up", "node", "tokens", "data", "train"):
        assert f" {name} " in done.stdout


def test_the_channels_links_are_shown_changed_and_reset(nodes: Nodes, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("admin-secret\n")
    channel, admin = ("--channel", nodes.urls["channel"]), ("--token-file", token)
    assert "forward    bsc       0      0 ms" in spikelink("channel", "show", *channel).stdout
    done = spikelink(
        "channel", "set", "--ber", 0.1, "--latency-ms", 5, "--feedback-ber", 0.25, "--json", *channel, *admin
    )
    first, second = json.loads(done.stdout)
    assert (first["name"], first["ber"], first["latency_ms"]) == ("forward", 0.1, 5.0)
    assert (second["name"], second["ber"], second["latency_ms"]) == ("feedback", 0.25, 0.0)
    shown = spikelink("channel", "show", *channel).stdout.splitlines()
    assert shown[0].split() == ["link", "model", "BER", "latency", "revision", "bits", "flipped"]
    assert shown[1].split()[:5] == ["forward", "bsc", "0.1", "5", "ms"]
    assert "1,230 (9.96%)" in shown[1]
    only = json.loads(spikelink("channel", "reset", "feedback", "--json", *channel, *admin).stdout)
    assert [(link["name"], link["ber"]) for link in only] == [("feedback", 0.0)]
    both = json.loads(spikelink("channel", "reset", "--json", *channel, *admin).stdout)
    assert {link["ber"] for link in both} == {0.0}


def test_a_change_without_the_admin_token_or_of_an_unknown_link_is_one_line(nodes: Nodes, tmp_path: Path) -> None:
    channel = ("--channel", nodes.urls["channel"])
    assert_one_line(spikelink("channel", "set", "--ber", 0.1, *channel), "Bearer TOKEN", "(HTTP 401)")
    token = tmp_path / "token"
    token.write_text("admin-secret")
    done = spikelink("channel", "set", "sideways", "--ber", 0.1, *channel, SPIKELINK_ADMIN_TOKEN_FILE=str(token))
    assert_one_line(done, "there is no link 'sideways'", "(HTTP 404)")


def test_status_shows_three_nodes(nodes: Nodes) -> None:
    urls = [argument for role, url in nodes.urls.items() for argument in (f"--{role}", url)]
    done = spikelink("status", *urls)
    assert (done.exit_code, done.stderr) == (0, "")
    heading, edge, channel, cloud = (line.split() for line in done.stdout.splitlines())
    assert heading == ["node", "at", "health", "version", "device", "profile", "store", "durable"]
    assert edge[2:] == ["ready", "0.1.0", "cpu", "resnet18"]
    assert channel[2:] == ["ready", "0.1.0"]
    assert cloud[2:] == ["ready", "0.1.0", "cpu", "resnet18", "sqlite", "yes"]
    answers = json.loads(spikelink("status", "--json", *urls).stdout)
    assert [(answer["role"], answer["health"]) for answer in answers] == [
        ("edge", "ready"), ("channel", "ready"), ("cloud", "ready"),
    ]  # fmt: skip  # one line says it


def test_status_fails_where_a_node_is_down_or_not_ready(nodes: Nodes) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = spikelink("status", "--edge", nodes.urls["edge"], "--channel", nodes.urls["channel"], "--cloud", dead)
        assert_one_line(done, f"nothing answers as the cloud at {dead}")
        assert "down" in done.stdout
        done = spikelink("status", "--edge", dead, "--channel", nodes.urls["channel"], "--cloud", dead)
        assert_one_line(done, "the edge is down, the cloud is down: start them with 'spikelink up'")


def test_the_command_line_loads_nothing_heavy() -> None:
    done = process(code="import cli.app, sys; print(*sys.modules)")
    assert done.returncode == 0
    assert not (HEAVY | {"httpx2"}) & set(done.stdout.split())


@pytest.mark.parametrize("arguments", [("classify", "IMAGE", "--edge"), ("channel", "show", "--channel")])
def test_classifying_and_asking_load_no_network(nodes: Nodes, image: Path, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print('LOADED', *sys.modules)"
    )
    url = nodes.urls["channel" if arguments[0] == "channel" else "edge"]
    done = process(*(image if argument == "IMAGE" else argument for argument in arguments), url, code=code)
    assert done.returncode == 0
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "httpx2" in loaded
    assert not HEAVY & loaded
