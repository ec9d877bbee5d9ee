# SPDX-License-Identifier: Apache-2.0
"""The networks, and the in-process link that is the oracle for everything else."""
