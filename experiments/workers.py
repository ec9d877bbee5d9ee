# SPDX-License-Identifier: Apache-2.0
"""Worker processes that end with the process they work for."""

import os
import threading
from multiprocessing import parent_process


def end_with_the_parent() -> None:
    """For a worker to call once: a parent that is killed tells nobody, and its workers would wait for ever."""
    threading.Thread(target=_end_after_the_parent, daemon=True).start()


def _end_after_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
