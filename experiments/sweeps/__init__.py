# SPDX-License-Identifier: Apache-2.0
"""Sweeps: a grid of systems, thresholds, BERs, seeds and images, unit by unit, in process or through the nodes."""
