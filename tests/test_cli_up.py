# SPDX-License-Identifier: Apache-2.0
"""``spikelink up`` and ``spikelink demo`` as real processes, around nodes without networks."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bound_process import bound
from test_cli_processes import alive

from cli.photographs import photographs

FAKE = str(Path(__file__).with_name("fake_edge.py"))
#: The command line, with its nodes replaced.
CODE = (
    "import sys, cli.processes\n"
    "cli.processes.NODE_COMMAND = (sys.executable, sys.argv.pop(1))\n"
    "from cli.app import main\nmain()"
)
PORTS = ("--edge-port", "0", "--channel-port", "0", "--cloud-port", "0", "--dashboard-port", "0")


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKELINK_", "KEEP"))}
    return {**inherited, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **variables}


@contextmanager
def running(*arguments: str, until: str, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """The command, and its output up to a line that begins with ``until``."""
    pipe, set_to = subprocess.PIPE, environment(**variables)
    process = bound(
        [sys.executable, "-c", CODE, FAKE, *arguments],
        lambda whole: subprocess.Popen(whole, stdout=pipe, stderr=pipe, text=True, env=set_to),
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith(until):
                break
        yield process, lines
    finally:
        process.kill()
        process.communicate()


def pids_of(lines: list[str]) -> dict[str, int]:
    found = [re.match(r"(dashboard|edge|channel|cloud) +http://127\.0\.0\.1:\d+ +pid (\d+)", line) for line in lines]
    return {match[1]: int(match[2]) for match in found if match}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_stops_its_nodes_in_order_when_it_is_told_to_end(number: signal.Signals) -> None:
    with running("up", *PORTS, until="Ctrl-C stops all four") as (process, lines):
        pids = pids_of(lines)
        assert len(pids) == 4
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert re.findall(r"^(\w+) +ended$", rest, re.MULTILINE) == ["dashboard", "edge", "channel", "cloud"]
    assert rest.endswith("stopped\n")
    assert not any(alive(pid) for pid in pids.values())


def test_up_ends_with_one_line_when_a_node_dies() -> None:
    with running("up", *PORTS, until="Ctrl-C stops all four") as (process, lines):
        pids = pids_of(lines)
        os.kill(pids["cloud"], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch(r"spikelink: the cloud node ended with signal 9: .*\n", errors)
    assert not any(alive(pid) for pid in pids.values())


def test_up_ends_early_with_the_last_line_of_a_node_that_cannot_start() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, FAKE, "up", *PORTS],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(FAKE_FAILURE="exit"),
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"spikelink: the \w+ node ended with exit code 3: WeightsError: the weights are not there\n",
        done.stderr,
    )
    assert "WeightsError: the weights are not there" in done.stdout


def test_a_signal_while_the_nodes_come_up_leaves_none_behind() -> None:
    with running("up", *PORTS, until="cloud     started", FAKE_FAILURE="never-ready") as (process, lines):
        pid = int(re.findall(r"started \[(\d+)\]", lines[-1])[0])
        assert alive(pid)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not alive(pid)


def test_the_demo_classifies_the_photographs_at_each_ber_and_stops_its_nodes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, FAKE, "demo"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for ber in ("0", "0.1", "0.2", "0.3"):
        assert f"rocket.jpg at BER {ber}: ✓ rocket" in done.stdout
        row = next(line.split() for line in done.stdout.splitlines() if re.match(rf" *{re.escape(ber)} +4 ", line))
        assert row[1:5] == ["4", "1", "25.0", "%"]  # the nodes call everything a rocket
    assert done.stdout.count("✗ rocket") == 12
    assert len(re.findall(r"^snn-sc-(?:margin-)?harq .* 4 +25\.00 ", done.stdout, re.MULTILINE)) == 8  # the sweep
    assert "4 photographs are too few for an accuracy" in " ".join(done.stdout.split())
    assert not any(alive(pid) for pid in pids_of(done.stdout.splitlines()).values())


def test_the_demo_ends_with_a_sweep_of_test_images_where_the_data_set_is(tmp_path: Path) -> None:
    # Twelve images, two of them rockets (class 69), which is what the nodes call everything.
    records = [bytes([0, 69 if row < 2 else row]) + bytes([row]) * 3072 for row in range(12)]
    (tmp_path / "test.bin").write_bytes(b"".join(records))
    done = subprocess.run(
        [sys.executable, "-c", CODE, FAKE, "demo", "--data", str(tmp_path), "--images", "60"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "the page is at http://127.0.0.1:" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r"snn-sc-(margin-)?harq .* 12 ", line)]
    assert [row[:1] + row[2:5] for row in rows] == [
        [system, ber, "12", "16.67"]
        for system in ("snn-sc-harq", "snn-sc-margin-harq")
        for ber in ("0", "0.1", "0.2", "0.3")
    ]


def test_the_demo_stays_up_when_it_is_asked_to() -> None:
    with running("demo", until="the nodes stay up", KEEP="1") as (process, lines):
        pids = pids_of(lines)
        assert all(alive(pid) for pid in pids.values())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert not any(alive(pid) for pid in pids.values())


def test_a_demo_that_is_interrupted_says_so_and_stops_its_nodes() -> None:
    with running("demo", until="try ", FAKE_FAILURE="silent") as (process, lines):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "spikelink: interrupted; the nodes are stopped\n")
    assert not any(alive(pid) for pid in pids_of(lines).values())


def test_a_demo_whose_node_dies_names_the_node() -> None:
    with running("demo", until="try ", FAKE_FAILURE="silent") as (process, lines):
        os.kill(pids_of(lines)["edge"], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch(r"spikelink: the edge node ended with signal 9: started \[\d+\]\n", errors)


def test_the_photographs_are_files_that_scikit_image_carries() -> None:
    assert [picture.label for picture in photographs()] == ["rocket", "cup", "woman", "motorcycle"]
    assert all(picture.path.is_file() for picture in photographs())
    from models.labels import CLASS_NAMES

    assert {picture.label for picture in photographs()} <= set(CLASS_NAMES)
