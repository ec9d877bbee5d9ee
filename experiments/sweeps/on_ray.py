# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster to sweep on: one that runs, or one of this command's own on loopback; both with token authentication.

Ray reads its environment when it is imported: nothing else of SpikeLink imports it, and this only when asked for it.
"""

import atexit
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from experiments.sweeps.material import Material
from experiments.sweeps.ray_head import knock

if TYPE_CHECKING:
    from experiments.sweeps.ray_engine import RayEngine

#: Images on their way, some hundred kilobytes a unit.
_OBJECT_STORE_BYTES: Final = 128 << 20
_LISTENS_S: Final = 5.0
#: For goodbye, which takes less than a second where the head answers.
_LEAVES_S: Final = 8.0


class ClusterError(Exception):
    """There is no cluster to compute on; the message is one line."""


@contextmanager
def ray_engine(
    address: str | None, material: Material, weights: Path | None, workers: int | None, patience_s: float,
    notice: Callable[[str], None],
) -> Iterator["RayEngine"]:  # fmt: skip  # one line says what it needs
    """An engine on the cluster whose head is at ``address``, on a cluster of its own unless given.

    ``weights`` is a folder on each machine of it; ``workers`` as many as it has cores unless given.
    Raises ClusterError, and EngineError later on.
    """
    _prepare_environment(address)
    if address is not None:
        _check(address)
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, _connected(address, workers, folder):
        import ray

        from experiments.sweeps.ray_engine import RayEngine
        from experiments.sweeps.ray_worker import Terms

        terms = Terms(
            material.spec.profile,
            None if weights is None else weights.resolve(),
            material.manifest.weights_sha256,
            version("spikelink"),
        )
        cores = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]  # Ray has no types for it
        head = ray.get_runtime_context().gcs_address
        with closing(RayEngine(head, terms, workers or max(1, cores), patience_s, notice)) as engine:
            yield engine


def _check(address: str) -> None:
    try:
        knock(address, _LISTENS_S)
    except ValueError as error:
        raise ClusterError(str(error)) from None
    except OSError as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from None


def _prepare_environment(address: str | None) -> None:
    if find_spec("ray") is None:
        raise ClusterError("Ray is not installed: it comes with the extra 'ray': pip install -e '.[ray]'")
    if os.environ.setdefault("RAY_AUTH_MODE", "token").lower() != "token":
        raise ClusterError("RAY_AUTH_MODE must be token: whoever reaches a cluster without one runs code on it")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        if not (os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    else:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")  # a second each, where the token is another
    if address is None or address.startswith(("127.", "localhost:", "[::1]:")):
        # Ray's way to loopback: as on desktop systems. Otherwise it takes the address that others can reach.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


@contextmanager
def _connected(address: str | None, workers: int | None, folder: str) -> Iterator[None]:
    import ray

    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    try:
        if address is None:
            # Ray's own folder would be open to all users of this machine.
            store: dict[str, Any] = {"object_store_memory": _OBJECT_STORE_BYTES, "_temp_dir": folder}
            ray.init("local", num_cpus=workers, include_dashboard=False, **store, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # Ray has many, the bare Exception among them
        ray.shutdown()
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        hint = "; is this machine in the cluster, and has it the token?" if isinstance(error, ConnectionError) else ""
        raise ClusterError(f"Ray: {line}{hint}") from None
    try:
        yield
    except BaseException:
        # A head of its own is on loopback and cannot vanish; nothing of it may be left behind.
        _leave(ray.shutdown, None if address is None else _LEAVES_S)
        raise
    ray.shutdown()


def _leave(say_goodbye: Callable[[], None], within_s: float | None) -> None:
    """After a failure, which ends this command with exit code 1.

    Ray waits for minutes for an answer of a head that has vanished without a word, here and again when Python ends.
    """
    leaving = Thread(target=say_goodbye, name="leave-ray", daemon=True)
    leaving.start()
    leaving.join(within_s)
    if leaving.is_alive():
        atexit.register(_end_at_once)  # the last that is registered comes first, before Ray's own


def _end_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)
