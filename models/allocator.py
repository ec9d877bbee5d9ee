# SPDX-License-Identifier: Apache-2.0
"""Keep freed memory in the process: glibc gives every large tensor back to the kernel, which zeroes its pages anew.

Shapes   none
Units    bytes
Math     none
Source   measured: docs/decisions/0015.
Differs  a process stays as large as it has ever been.
"""

import ctypes
import sys
from typing import Final

_MMAP_THRESHOLD: Final = (-3, 1 << 30)
_TRIM_THRESHOLD: Final = (-1, (1 << 31) - 1)
_TOP_PAD: Final = (-2, 1 << 26)


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, from now on and for the whole process; says whether that was possible.

    False on other systems and with other C libraries, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(*setting) == 1 for setting in (_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD)]
    return all(taken)
