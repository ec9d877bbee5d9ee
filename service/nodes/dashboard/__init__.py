# SPDX-License-Identifier: Apache-2.0
"""The dashboard: the page, and what it needs of the other nodes from one origin. Loads no torch."""
