# SPDX-License-Identifier: Apache-2.0
"""Data sets, image ids and the one validation split."""
