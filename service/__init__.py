# SPDX-License-Identifier: Apache-2.0
"""The nodes: HTTP, sessions, stores and settings around the models and the channel."""
