# SPDX-License-Identifier: Apache-2.0
"""The cloud: reconstructs, judges, keeps sessions, classifies."""
