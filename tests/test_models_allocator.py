# SPDX-License-Identifier: Apache-2.0
"""Memory that is freed stays in the process: large tensors stop costing page faults, in threads too."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from toy_cifar import write_toy_test_set

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


#: Runs a command line, and says whether that told glibc.
_COMMAND = """
import sys
from models import allocator
told = []
allocator.keep_freed_memory = lambda: told.append(True)
from cli.app import main
whose = sys.argv.pop(1)
try:
    main() if whose == "its own" else main(sys.argv[1:])
except SystemExit:
    pass
print("told" if told else "not told")
"""
#: All but the sweep end at once, for want of a data set.
_COMMANDS = {
    "evaluate": "evaluate --data FOLDER --runs FOLDER",
    "reproduce": "reproduce --data FOLDER --runs FOLDER --docs FOLDER",
    "ablate": "ablate codec --data FOLDER --runs FOLDER --docs FOLDER",
    "train": "train codec --data FOLDER --runs FOLDER",
    "sweep": "sweep run FOLDER/sweep.toml --data FOLDER/test --parallel 1 --store sqlite://FOLDER/sweeps.sqlite3",
}
_SWEEP = """
name = "one"
bers = [0.1]
seeds = [1]
[images]
data_set = "cifar100-test"
count = 1
[[series]]
system = "multi-rate"
t = [4]
"""


@pytest.mark.parametrize("name", _COMMANDS)
@pytest.mark.parametrize("whose", ["its own", "of many"])
def test_a_command_keeps_it_where_the_process_is_its_own(
    name: str, whose: str, toy_folder: Path, tmp_path: Path
) -> None:
    """Tests run many in one process, which would be as large ever after as the largest of them."""
    (tmp_path / "sweep.toml").write_text(_SWEEP)
    write_toy_test_set(tmp_path / "test", 1)
    arguments = [*_COMMANDS[name].replace("FOLDER", str(tmp_path)).split(), "--weights", str(toy_folder)]
    command = [sys.executable, "-c", _COMMAND, whose, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.splitlines()[-1] == ("told" if whose == "its own" else "not told"), done.stderr


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
