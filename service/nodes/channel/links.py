# SPDX-License-Identifier: Apache-2.0
"""The channel's two links and their impairments, as they can be listed, changed and reset at run time."""

from typing import Final

from channel.transmission import CHANNELS, DEFAULT_CHANNEL
from service.errors import NotFound, Unprocessable
from service.wire import LinkChange, LinkCounters, LinkState

LINKS: Final = ("forward", "feedback")


class LinkTable:
    """The links by name. A change makes a new revision, which counts from the next frame on."""

    def __init__(self, *, ber: float, feedback_ber: float, latency_ms: float, model: str = DEFAULT_CHANNEL) -> None:
        self._initial = {
            "forward": LinkState(name="forward", revision=0, model=model, ber=ber, latency_ms=latency_ms),
            "feedback": LinkState(name="feedback", revision=0, ber=feedback_ber),
        }
        self._links = dict(self._initial)
        self._bits = dict.fromkeys(LINKS, 0)
        self._flips = dict.fromkeys(LINKS, 0)

    def state(self, name: str) -> LinkState:
        """A snapshot that a frame keeps for its whole way. Raises NotFound."""
        if name not in self._links:
            raise NotFound(f"there is no link {name!r}; the links are {' and '.join(LINKS)}")
        return self._links[name]

    def describe(self, name: str) -> LinkCounters:
        """A link with its counters. Raises NotFound."""
        state = self.state(name)
        models = {model: CHANNELS[model].summary for model in _models_of(name)}
        return LinkCounters(**state.model_dump(), bits=self._bits[name], flipped_bits=self._flips[name], models=models)

    def change(self, name: str, change: LinkChange) -> LinkCounters:
        """Set what the change names. Raises NotFound, and Unprocessable for a model that the link cannot have."""
        state = self.state(name)
        if change.model is not None:
            _check_model(name, change.model)
        update = {"revision": state.revision + 1, **change.model_dump(exclude_none=True)}
        self._links[name] = state.model_copy(update=update)
        return self.describe(name)

    def reset(self, name: str) -> LinkCounters:
        """Back to what the node started with; revision and counters go on. Raises NotFound."""
        state = self.state(name)
        self._links[name] = self._initial[name].model_copy(update={"revision": state.revision + 1})
        return self.describe(name)

    def count(self, name: str, bits: int, flipped_bits: int) -> None:
        """Bits have crossed a link."""
        self._bits[name] += bits
        self._flips[name] += flipped_bits


def _models_of(link: str) -> tuple[str, ...]:
    return (DEFAULT_CHANNEL,) if link == "feedback" else tuple(CHANNELS)


def _check_model(link: str, model: str) -> None:
    if link == "feedback" and model != DEFAULT_CHANNEL:
        raise Unprocessable(f"one bit a round crosses the feedback link: its model is always {DEFAULT_CHANNEL}")
    if model not in CHANNELS:
        raise Unprocessable(f"there is no channel model {model!r}; there are {', '.join(CHANNELS)}")
