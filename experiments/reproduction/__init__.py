# SPDX-License-Identifier: Apache-2.0
"""From measured outcomes to the figures of the paper and beyond, as JSON: numbers only, no drawing."""
