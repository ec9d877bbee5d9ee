# SPDX-License-Identifier: Apache-2.0
"""How fast the nodes are, against the in-process link on the same cores in the same run."""
