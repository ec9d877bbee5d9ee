# SPDX-License-Identifier: Apache-2.0
"""The ``spikelink`` command. Each command imports what it needs when it runs, so that the others start fast."""
