# SPDX-License-Identifier: Apache-2.0
"""The nodes as child processes: started, waited for, watched and stopped. Used by up, demo and the tests.

::

    with running_nodes(Ports(0, 0, 0)) as nodes:
        Client(nodes.urls["edge"]).classify("rocket.jpg")
"""

import errno
import math
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Final

from cli.child import Child
from cli.failures import CommandError
from cli.log_lines import readable
from cli.options import CHANNEL_PORT, CLOUD_PORT, EDGE_PORT, LOOPBACK
from cli.signals import undisturbed

if TYPE_CHECKING:
    from client import Node

#: In the order in which they are stopped.
ROLES: Final = ("dashboard", "edge", "channel", "cloud")
#: Whose address each is told, and in which variable.
PEERS: Final = {
    "dashboard": {"SPIKELINK_EDGE": "edge", "SPIKELINK_CHANNEL": "channel", "SPIKELINK_CLOUD": "cloud"},
    "edge": {"SPIKELINK_UPSTREAM": "channel"},
    "channel": {"SPIKELINK_UPSTREAM": "cloud"},
    "cloud": {},
}
#: How a node is started; the role is appended. -P keeps a folder "client" where the user stands from being imported.
NODE_COMMAND: Final = (sys.executable, "-P", "-m", "cli", "node", "--until-stdin-ends")

_OWN_VARIABLES: Final = ("SPIKELINK_HOST", "SPIKELINK_PORT", "SPIKELINK_UPSTREAM")
#: Below Linux's range for outgoing connections.
_FREE_PORTS: Final = (20_000, 32_768)
_POLL_S: Final = 0.1
_GRACE_S: Final = 25.0

Environment = Mapping[str, Mapping[str, str]]
LineListener = Callable[[str, str], None]
StateListener = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class Ports:
    """Where the nodes listen on loopback; 0 takes a free port. Without a port there is no such node.

    Whose peer is not among them is told its address by ``Launch.environment``.
    """

    edge: int | None = EDGE_PORT
    channel: int | None = CHANNEL_PORT
    cloud: int | None = CLOUD_PORT
    dashboard: int | None = None

    def by_role(self) -> dict[str, int]:
        ports = {role: getattr(self, role) for role in ROLES}
        return {role: port for role, port in ports.items() if port is not None}


@dataclass(frozen=True)
class Launch:
    """How nodes are started. ``environment`` adds variables by role, under ``""`` for all of them.

    ``on_line(role, line)`` hears of each line that a node writes, from another thread; ``on_state`` of what each
    node is waiting for while they come up.
    """

    environment: Environment | None = None
    command: Sequence[str] | None = None
    deadline_s: float = 60.0
    grace_s: float = _GRACE_S
    on_line: LineListener | None = None
    on_state: StateListener | None = None


class Nodes:
    """The nodes of one launch. A role can be stopped, killed and started again at the same address."""

    def __init__(self, ports: Mapping[str, int], launch: Launch) -> None:
        self.urls = {role: f"http://{LOOPBACK}:{port}" for role, port in ports.items()}
        self._ports, self._launch = ports, launch
        self._children: dict[str, Child] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each node that was started."""
        return {role: child.pid for role, child in self._children.items()}

    def output(self, role: str) -> list[str]:
        """The last lines that a node wrote."""
        return self._children[role].last_lines()

    def start(self, *roles: str) -> None:
        """Start these roles, all by default, and wait until each is ready. Raises CommandError, if one runs too."""
        roles = roles or tuple(self._ports)
        for role in roles:
            if role in self._children and self._children[role].exit_code is None:
                raise CommandError(f"the {role} node is running already")
        with undisturbed():
            for role in roles:
                command = (*(self._launch.command or NODE_COMMAND), role)
                self._children[role] = Child(role, command, self._environment(role), self._launch.on_line)
        self._wait_until_ready(roles)

    def stop(self, role: str) -> int:
        """Ask a node to end, kill it after the grace; returns its exit code, negative for a signal."""
        return self._children[role].stop(time.monotonic() + self._launch.grace_s)

    def kill(self, role: str) -> int:
        """End a node at once, as a crash would."""
        return self._children[role].kill()

    def stop_all(self) -> None:
        """The edge before the others, so that what it has accepted can still cross the others; one grace for all."""
        deadline = time.monotonic() + self._launch.grace_s
        # Also when a second Ctrl-C interrupts the wait, or one more a kill: no process may be left behind.
        with ExitStack() as stack:
            for child in self._children.values():
                stack.callback(child.kill)
            for role in ROLES:
                if role in self._children:
                    self._children[role].stop(deadline)

    def check(self) -> None:
        """Raises CommandError for a node that has ended by itself, naming its last line."""
        for role, child in self._children.items():
            if (code := child.exit_code) is not None:
                lines = [line for line in child.last_lines() if line.strip()]
                said = f": {readable(lines[-1].strip()).removeprefix('spikelink: ')}" if lines else " and wrote nothing"
                raise CommandError(f"the {role} node ended with {_describe(code)}{said}")

    def watch(self, for_s: float = math.inf) -> None:
        """Return after so long, never by default; raises CommandError when a node ends by itself."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            self.check()
            time.sleep(_POLL_S)  # nothing tells that one of several children has ended

    def _environment(self, role: str) -> dict[str, str]:
        values = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
        values |= {"SPIKELINK_HOST": LOOPBACK, "SPIKELINK_PORT": str(self._ports[role]), "PYTHONUNBUFFERED": "1"}
        values |= {name: self.urls[peer] for name, peer in PEERS[role].items() if peer in self.urls}
        extra = self._launch.environment or {}
        return {**values, **extra.get("", {}), **extra.get(role, {})}

    def _wait_until_ready(self, roles: Sequence[str]) -> None:
        from client import Node

        deadline = time.monotonic() + self._launch.deadline_s
        states = dict.fromkeys(roles, "starting")
        with ExitStack() as stack:
            probes = {role: stack.enter_context(Node(self.urls[role], role=role, timeout_s=5.0)) for role in roles}
            while True:
                self.check()
                for role in roles:
                    if states[role] != "ready":
                        states[role] = _state(probes[role], self.pids[role])
                if self._launch.on_state:
                    self._launch.on_state(states)
                if all(state == "ready" for state in states.values()):
                    return
                if time.monotonic() > deadline:
                    late = "; ".join(
                        f"{role}: {shorten(state, 80)}" for role, state in states.items() if state != "ready"
                    )
                    raise CommandError(f"not ready after {self._launch.deadline_s:g} s ({late})")
                time.sleep(_POLL_S)  # readiness has to be asked for


@contextmanager
def running_nodes(ports: Ports | None = None, launch: Launch | None = None) -> Iterator[Nodes]:
    """The nodes on loopback, ready, and stopped at the end. Raises CommandError."""
    nodes = Nodes(_claim((ports or Ports()).by_role()), launch or Launch())
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop_all()


def or_free(ports: Ports) -> Ports:
    """The same ports, with a free one instead of each that is in use."""
    return replace(ports, **{role: 0 for role, port in ports.by_role().items() if port and _in_use(port)})


def _claim(ports: dict[str, int]) -> dict[str, int]:
    """Every port checked, and each 0 replaced by a free one. Raises CommandError for a port in use."""
    for role, port in ports.items():
        if port and _in_use(port):
            raise CommandError(f"port {port} is in use: stop what listens there, or choose another with --{role}-port")
    chosen = set(ports.values())
    for role, port in ports.items():
        if not port:
            ports[role] = _free_port(chosen)
            chosen.add(ports[role])
    return ports


def _free_port(taken: set[int]) -> int:
    """A port where nobody listens, and which the kernel gives to no connection before the node has bound it."""
    while True:
        port = random.randrange(*_FREE_PORTS)
        if port not in taken and not _in_use(port):
            return port


def _in_use(port: int) -> bool:
    try:
        _bound(port).close()
    except OSError as error:
        if error.errno == errno.EACCES:
            raise CommandError(f"port {port} may not be used without privileges: choose one above 1023") from None
        return True
    return False


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    # As uvicorn does: without it the port of a node that has just ended counts as in use for a minute.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound


def _state(probe: "Node", pid: int) -> str:
    from client import NodeUnreachableError, SpikeLinkError

    try:
        readiness = probe.ready()
        if readiness.ready and probe.info().pid != pid:
            # It took the port after we had looked; our own node will say so when it ends.
            return "another process answers at its port"
    except NodeUnreachableError:
        return "starting"
    except SpikeLinkError as error:
        return str(error)
    waiting = [f"{part} {state}" for part, state in readiness.checks.items() if state != "ok"]
    return "ready" if readiness.ready else ", ".join(waiting) or "not ready"


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
