# SPDX-License-Identifier: Apache-2.0
"""The physics: bits in, bits out, on packed frames. Knows no network, no session and no HTTP."""
