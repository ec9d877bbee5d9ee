# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation: what makes the weights, and the figures that they reach."""
