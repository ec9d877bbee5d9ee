# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the test's own, however that ends: a worker of pytest that is killed cleans nothing up."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import AnyStr, Final

#: Linux tells a process when the thread that started it ends. A test's may end early; this one lasts.
_STARTER: Final = ThreadPoolExecutor(1, "starter")


def bound(
    command: Sequence[str],
    start: Callable[[list[str]], "subprocess.Popen[AnyStr]"],
    by: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[AnyStr]":
    """Start a command that gets a signal when this process ends, on Linux; elsewhere it is started as it is.

    By util-linux's setpriv, which becomes the command and keeps its id: code between fork and exec could hang, in a
    process that has threads.
    """
    found = shutil.which("setpriv")
    prefix = [] if found is None else [found, "--pdeathsig", by.name.removeprefix("SIG"), "--"]
    return _STARTER.submit(start, [*prefix, *command]).result()
