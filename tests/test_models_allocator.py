# SPDX-License-Identifier: Apache-2.0
"""Memory that is freed stays in the process: large tensors stop costing page faults, in threads too."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from models import allocator
from service import run

ROOT = Path(__file__).resolve().parents[1]

#: Prints the page faults of a later round of large tensors, made in the main thread or in another.
_ROUNDS = """
import ctypes, resource, sys, threading
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 2 MiB would hide what is counted
import torch
from models.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    counts = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            torch.ones(9_000_000).mul(2)  # above the 32 MiB to which glibc raises its threshold by itself
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    print(min(counts[1:]))  # the heap may have to grow in more than one round
if sys.argv[2] == "main":
    faults()
else:
    thread = threading.Thread(target=faults)
    thread.start()
    thread.join()
"""


def page_faults(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", _ROUNDS, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is told")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_large_tensors_cost_no_new_pages_once_freed_memory_is_kept(where: str) -> None:
    pages = 5 * 9_000_000 * 4 // 4096
    assert page_faults("as it is", where) > pages
    assert page_faults("keep", where) < pages // 20


#: Ends the process where it is told to keep memory by what a test may import or make.
_APPLICATIONS = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from models import allocator
def told():
    sys.exit("this process is told to keep what it frees")
allocator.keep_freed_memory = told
from nodes import create_cloud, create_edge, CloudSettings, EdgeSettings
import test_experiments_training
folder = Path(sys.argv[1])
create_edge(EdgeSettings(weights=folder))
create_cloud(CloudSettings(weights=folder, store="memory://"))
"""


def test_applications_and_test_modules_leave_their_process_as_it_is(toy_folder: Path) -> None:
    """It is the commands' to decide: a test's process, which runs many of them, grew to gigabytes."""
    done = subprocess.run(
        [sys.executable, "-c", _APPLICATIONS, str(toy_folder)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("role", ["edge", "cloud"])
def test_a_nodes_process_keeps_it(role: str, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: told.append(role))
    monkeypatch.setattr(run, "configure_logs", lambda *_: None)
    monkeypatch.setattr(run, "adopt_loggers", lambda: None)
    monkeypatch.setattr(run._Server, "run", lambda _: None)
    monkeypatch.setenv("SPIKELINK_WEIGHTS", str(toy_folder))
    monkeypatch.setenv("SPIKELINK_STORE", "memory://")
    with pytest.raises(SystemExit):  # it has not served
        run.run_node(role, lambda _: pytest.fail("no dashboard"))
    assert told == [role]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_freed_memory()
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
