# SPDX-License-Identifier: Apache-2.0
"""One module a training stage; experiments/training/loop.py runs them all."""
