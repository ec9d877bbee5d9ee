# SPDX-License-Identifier: Apache-2.0
"""The edge: classifies images by sending their features as spikes."""
