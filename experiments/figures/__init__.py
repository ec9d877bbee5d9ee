# SPDX-License-Identifier: Apache-2.0
"""Figures and the results page, from the JSON in ``docs/results`` alone: no weights, no data, no torch."""
