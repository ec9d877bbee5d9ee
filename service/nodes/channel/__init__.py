# SPDX-License-Identifier: Apache-2.0
"""The channel: corrupts bits, relays answers. Knows neither models nor stores."""
