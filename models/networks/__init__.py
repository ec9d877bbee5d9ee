# SPDX-License-Identifier: Apache-2.0
"""Backbone, spiking codec and SimNet: pure functions of their inputs, no state between calls."""
