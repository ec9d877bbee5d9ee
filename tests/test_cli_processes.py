# SPDX-License-Identifier: Apache-2.0
"""Three child processes, brought up, watched and stopped, whatever they do. The children are nodes without networks."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from nodes import until

from cli.child import Child
from cli.failures import CommandError
from cli.log_lines import readable
from cli.processes import Launch, Ports, or_free, running_nodes
from client import Node, NodeUnreachableError

FAKE = (sys.executable, str(Path(__file__).with_name("fake_edge.py")))
FREE = Ports(0, 0, 0)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_three_processes_serve_their_roles_and_are_gone_afterwards() -> None:
    lines: list[tuple[str, str]] = []
    states: list[dict[str, str]] = []
    launch = Launch(
        command=FAKE,
        on_line=lambda role, line: lines.append((role, line)),
        on_state=lambda each: states.append(dict(each)),
    )
    with running_nodes(FREE, launch) as nodes:
        assert len(set(nodes.pids.values()) | {os.getpid()}) == 4
        for role, url in nodes.urls.items():
            with Node(url) as node:
                assert node.health()["role"] == role
                assert node.info().pid == nodes.pids[role]
        nodes.check()
        pids = nodes.pids.values()
    assert not any(alive(pid) for pid in pids)
    assert states[0].keys() == {"edge", "channel", "cloud"}
    assert set(states[-1].values()) == {"ready"}
    ended = [role for role, line in lines if line == "ended"]
    assert ended == ["edge", "channel", "cloud"]  # what the edge has accepted can still cross the others


def test_each_node_is_told_its_port_its_upstream_and_what_it_alone_shall_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "environment.py"
    script.write_text(
        "import os, sys\n"
        "told = (f'{k}={v}' for k, v in os.environ.items() if k.startswith(('SPIKELINK_', 'EXTRA')))\n"
        "print(*told, flush=True)\n"
        "sys.exit(5)\n"
    )
    monkeypatch.setenv("SPIKELINK_HOST", "0.0.0.0")
    monkeypatch.setenv("SPIKELINK_PORT", "1")
    monkeypatch.setenv("SPIKELINK_UPSTREAM", "http://elsewhere")
    seen: dict[str, str] = {}
    launch = Launch(
        command=(sys.executable, str(script)),
        environment={"": {"EXTRA": "all"}, "cloud": {"EXTRA": "cloud"}},
        on_line=seen.__setitem__,
    )
    with pytest.raises(CommandError, match="exit code 5"), running_nodes(FREE, launch):
        pytest.fail("the nodes were never ready")
    # Those that had not written yet were stopped; each that has written must have been told right.
    assert seen
    told = {role: dict(part.split("=") for part in line.split()) for role, line in seen.items()}
    for role, values in told.items():
        assert values["SPIKELINK_HOST"] == "127.0.0.1"
        assert int(values["SPIKELINK_PORT"]) > 1023
        assert values["EXTRA"] == ("cloud" if role == "cloud" else "all")
        assert ("SPIKELINK_UPSTREAM" in values) == (role != "cloud")
        assert values.get("SPIKELINK_UPSTREAM") != "http://elsewhere"


def test_a_node_that_dies_before_it_is_ready_is_named_with_its_last_line() -> None:
    launch = Launch(command=FAKE, environment={"cloud": {"FAKE_FAILURE": "exit"}})
    with (
        pytest.raises(
            CommandError, match=r"^the cloud node ended with exit code 3: WeightsError: the weights are not there$"
        ),
        running_nodes(FREE, launch),
    ):
        pytest.fail("the nodes were never ready")


def test_a_node_that_is_never_ready_ends_the_wait_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    late = 0.0

    def expect(states: Mapping[str, str]) -> None:
        # The clock jumps when all nodes have come to where they stay, however long that took.
        nonlocal late
        if states == {"edge": "weights missing", "channel": "ready", "cloud": "ready"}:
            late = 3600.0

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late, sleep=time.sleep)
    monkeypatch.setattr("cli.processes.time", clock)
    launch = Launch(
        command=FAKE, environment={"edge": {"FAKE_FAILURE": "never-ready"}}, on_state=expect, grace_s=4000.0
    )
    with (
        pytest.raises(CommandError, match=r"^not ready after 60 s \(edge: weights missing\)$"),
        running_nodes(FREE, launch),
    ):
        pytest.fail("the edge was never ready")


def test_a_node_can_be_killed_found_dead_and_started_again_where_it_was() -> None:
    with running_nodes(FREE, Launch(command=FAKE)) as nodes:
        before = nodes.pids["channel"]
        assert nodes.kill("channel") == -9
        with pytest.raises(CommandError, match="the channel node ended with signal 9: "):
            nodes.watch()
        with pytest.raises(NodeUnreachableError), Node(nodes.urls["channel"]) as node:
            node.health()
        nodes.start("channel")
        assert nodes.pids["channel"] != before
        with Node(nodes.urls["channel"]) as node:
            assert node.info().pid == nodes.pids["channel"]
        assert nodes.stop("cloud") == 0
        assert nodes.output("cloud")[-1] == "ended"


def test_a_node_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    launch = Launch(command=FAKE, environment={"edge": {"FAKE_FAILURE": "deaf"}}, grace_s=0.2)
    with running_nodes(FREE, launch) as nodes:
        pids = nodes.pids.values()
    assert not any(alive(pid) for pid in pids)


def test_a_port_in_use_is_named_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = f"^port {port} is in use: stop what listens there, or choose another with --cloud-port$"
        with pytest.raises(CommandError, match=expected), running_nodes(Ports(0, 0, port), Launch(command=FAKE)):
            pytest.fail("the port was in use")
        assert or_free(Ports(port, 0, port)) == FREE


def test_a_node_of_somebody_else_that_took_the_port_meanwhile_is_not_taken_for_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_nodes(FREE, Launch(command=FAKE)) as theirs:
        monkeypatch.setattr("cli.processes._in_use", lambda port: False)
        port = int(theirs.urls["edge"].rpartition(":")[2])
        with (
            pytest.raises(CommandError, match=r"the edge node ended with exit code 1: OSError: .*already in use"),
            running_nodes(Ports(port, 0, 0), Launch(command=FAKE)),
        ):
            pytest.fail("the edge that answered was not ours")


def test_nodes_can_be_run_from_a_thread_that_is_not_the_main_one() -> None:
    codes: list[int] = []

    def run() -> None:
        with running_nodes(FREE, Launch(command=FAKE)) as nodes:
            codes.append(nodes.stop("edge"))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [0]


#: Starts nodes, says where they are, and waits to be killed.
PARENT = """
import sys
from cli.processes import Launch, Ports, running_nodes
ports = Ports(None, None, None, 0) if len(sys.argv) == 1 else Ports(0, 0, 0, 0)
with running_nodes(ports, Launch(command=sys.argv[1:] or None)) as nodes:
    print(*nodes.urls.values(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("command", [FAKE, ()], ids=["stand-ins", "a-dashboard"])
def test_nodes_end_with_a_parent_that_is_killed(command: tuple[str, ...], tmp_path: Path) -> None:
    """SIGKILL runs no clean-up: of `spikelink up`, of a test run, of one of its workers that took too much memory."""
    environment = {**os.environ, "SPIKELINK_SWEEP_STORE": f"sqlite://{tmp_path / 'sweeps.sqlite3'}"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with parent:
        assert parent.stdout is not None
        urls = parent.stdout.readline().split()
        assert len(urls) == (4 if command else 1)
        assert all(answers(url) for url in urls)
        parent.kill()
    # Not by their ids: who has no parent left may stay as a zombie, depending on the machine's first process.
    until(lambda: not any(answers(url) for url in urls), "the nodes' end")


def answers(url: str) -> bool:
    try:
        with Node(url) as node:
            node.health()
    except NodeUnreachableError:
        return False
    return True


def test_a_node_that_runs_is_not_started_again() -> None:
    """The second could not bind its port, and the first, no longer on record, would have outlived them all."""
    with running_nodes(FREE, Launch(command=FAKE)) as nodes:
        pids = dict(nodes.pids)
        with pytest.raises(CommandError, match=r"^the channel node is running already$"):
            nodes.start("channel")
        assert nodes.pids == pids
    assert not any(alive(pid) for pid in pids.values())


def test_a_child_whose_output_cannot_be_read_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    popen = subprocess.Popen

    def noted(*arguments: object, **options: object) -> object:
        process = popen(*arguments, **options)  # type: ignore[call-overload]  # handed on as they come
        started.append(process.pid)
        return process

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(subprocess, "Popen", noted)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"), running_nodes(FREE, Launch(command=FAKE)):
        pytest.fail("no thread could be started")
    assert len(started) == 1
    assert not alive(started[0])


def test_a_stop_that_fails_leaves_nobody_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a second and a third Ctrl-C would."""

    def interrupted(self: Child, *_: object) -> int:
        if self.name in ("edge", "channel"):
            raise KeyboardInterrupt
        return kill(self)

    kill = Child.kill
    with running_nodes(FREE, Launch(command=FAKE)) as nodes:
        cloud = nodes.pids["cloud"]
        with monkeypatch.context() as patch:
            patch.setattr(Child, "stop", interrupted)
            patch.setattr(Child, "kill", interrupted)
            with pytest.raises(KeyboardInterrupt):
                nodes.stop_all()
        assert not alive(cloud), "though two before it could not be waited for"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain text", "plain text"),
        ("[1, 2]", "[1, 2]"),
        ('{"no": "event"}', '{"no": "event"}'),
        ('{"event": "ready", "role": "edge", "level": "info", "timestamp": "now"}', "ready"),
        ('{"event": "slow", "level": "warning", "ms": 7}', "warning: slow ms=7"),
    ],
)
def test_log_lines_are_shown_for_reading(line: str, expected: str) -> None:
    assert readable(line) == expected


def test_the_node_command_names_this_python() -> None:
    from cli.processes import NODE_COMMAND

    assert NODE_COMMAND[0] == sys.executable
    assert re.fullmatch(r"-P -m cli node --until-stdin-ends", " ".join(NODE_COMMAND[1:]))
