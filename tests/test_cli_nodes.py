# SPDX-License-Identifier: Apache-2.0
"""The command line against the real nodes, with random networks: up, status, classify, channel, and a clean end."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bound_process import bound
from test_cli_commands import spikelink
from test_cli_processes import alive
from test_cli_up import PORTS, environment, pids_of

from cli.photographs import photographs

VARYING = {"session", "total_ms", "wire_bytes", "edge_ms", "channel_ms", "cloud_ms"}


@pytest.fixture(scope="module")
def up(toy_folder: Path) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """``spikelink up`` as a process, and what it printed until its nodes were ready."""
    variables = environment(SPIKELINK_WEIGHTS=str(toy_folder))
    process = bound(
        [sys.executable, "-m", "cli", "up", "--deadline-s", "300", *PORTS],
        lambda whole: subprocess.Popen(whole, stdout=subprocess.PIPE, text=True, env=variables),
        signal.SIGTERM,
    )
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    yield process, lines
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def addresses(up: tuple["subprocess.Popen[str]", list[str]]) -> dict[str, str]:
    """The variables that name the three nodes."""
    found = [re.match(r"(edge|channel|cloud) +(http://127\.0\.0\.1:\d+) ", line) for line in up[1]]
    return {f"SPIKELINK_{match[1].upper()}": match[2] for match in found if match}


def _classify(addresses: dict[str, str], *arguments: object) -> dict[str, object]:
    done = spikelink("classify", photographs()[0].path, "--json", *arguments, **addresses)
    assert (done.exit_code, done.stderr) == (0, "")
    result: dict[str, object] = json.loads(done.stdout)
    return result


def _constant(result: dict[str, object]) -> dict[str, object]:
    """What the same request must give again."""
    assert isinstance(result["rounds"], list)
    rounds = [{name: value for name, value in each.items() if name not in VARYING} for each in result["rounds"]]
    return {**{name: value for name, value in result.items() if name not in VARYING}, "rounds": rounds}


def test_all_three_are_ready(addresses: dict[str, str]) -> None:
    done = spikelink("status", "--json", **addresses)
    assert (done.exit_code, done.stderr) == (0, "")
    answers = json.loads(done.stdout)
    assert [(answer["role"], answer["health"]) for answer in answers] == [
        (role, "ready") for role in ("edge", "channel", "cloud")
    ]
    assert len({answer["info"]["pid"] for answer in answers}) == 3


def test_the_same_seed_gives_the_same_rounds(addresses: dict[str, str]) -> None:
    first, second = (_classify(addresses, "--ber", 0.1, "--seed", 7) for _ in range(2))
    assert _constant(first) == _constant(second)
    assert _constant(first) != _constant(_classify(addresses, "--ber", 0.1, "--seed", 8))


def test_a_change_of_the_channel_takes_effect_on_the_next_image(addresses: dict[str, str]) -> None:
    assert _classify(addresses)["ber"] == 0.0
    assert spikelink("channel", "set", "--ber", 0.25, **addresses).exit_code == 0
    try:
        assert _classify(addresses)["ber"] == 0.25
        assert spikelink("channel", "show", **addresses).stdout.splitlines()[1].split()[:3] == [
            "forward",
            "bsc",
            "0.25",
        ]
    finally:
        assert spikelink("channel", "reset", **addresses).exit_code == 0
    assert _classify(addresses)["ber"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--system", "multi-rate"), "needs t"),
        (("--system", "quantum"), "system"),
        (("--profile", "resnet50"), "resnet50"),
        (("--system", "bypass", "--ber", 0.1), "BER"),
    ],
)
def test_what_the_edge_refuses_is_one_line(addresses: dict[str, str], arguments: tuple[object, ...], part: str) -> None:
    done = spikelink("classify", photographs()[0].path, *arguments, **addresses)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert part in done.stderr


def test_the_end_leaves_no_process(up: tuple["subprocess.Popen[str]", list[str]]) -> None:
    process, lines = up
    pids = pids_of(lines)
    assert len(pids) == 4
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert rest.endswith("stopped\n")
    assert not any(alive(pid) for pid in pids.values())
