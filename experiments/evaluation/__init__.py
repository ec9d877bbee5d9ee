# SPDX-License-Identifier: Apache-2.0
"""Accuracy and bandwidth of trained profiles, from the in-process link."""
