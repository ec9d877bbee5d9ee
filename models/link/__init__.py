# SPDX-License-Identifier: Apache-2.0
"""The in-process link: images in, decision traces out, without HTTP. The service is tested against it."""

from models.link.link import InProcessLink, Request
from models.link.trace import BlockTrace, RoundTrace

__all__ = ["BlockTrace", "InProcessLink", "Request", "RoundTrace"]
