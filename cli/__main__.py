# SPDX-License-Identifier: Apache-2.0
"""``python -m cli``: the ``spikelink`` command without its script, as child processes are started."""

from cli.app import main

if __name__ == "__main__":
    main()
