# SPDX-License-Identifier: Apache-2.0
"""What the figures are made of: outcomes on test and validation images, rules with thresholds, and their trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.rules import (
    MULTI_RATE,
    Rule,
    Trial,
    at_point,
    by_crc,
    by_threshold,
    compared_rules,
    first_correct,
    fixed_rates,
    harq_rules,
    payload_bits,
)
from experiments.evaluation.thresholds import FIGURE_SHARES, threshold_for_share
from experiments.reproduction.resampling import Resampler
from models.profiles import Profile
from models.systems import SYSTEMS, StopRule

DEFAULT: Final = "default"
#: The three thresholds of the figures, by the bandwidth that they lead to.
SETTINGS: Final = ("low", "middle", "high")
LABEL_ORACLE: Final = "oracle-label"
#: The BERs of Fig. 4, where measured.
SHOWN_BERS: Final = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Material:
    """Outcomes by BER of the paper's codec, and of the baselines' by system; ``ids`` are those of the test images."""

    profile: Profile
    test: Mapping[float, Outcomes]
    validation: Mapping[float, Outcomes]
    ids: tuple[str, ...]
    defaults: Mapping[str, float]
    baselines: Mapping[str, Mapping[float, Outcomes]]

    @cached_property
    def systems(self) -> dict[str, Rule]:
        """The HARQ systems that the profile has."""
        return harq_rules(self.profile.harq, next(iter(self.test.values())).scores)

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """All stop rules, those that no system has included."""
        return {**self.systems, **compared_rules(self.profile.harq)}

    @cached_property
    def thresholds(self) -> dict[str, dict[str, float]]:
        """theta by rule and setting; the figures' are chosen on validation, the default is the manifest's."""
        chosen = {
            name: {
                setting: threshold_for_share(rule, self.validation, share)
                for setting, share in zip(SETTINGS, FIGURE_SHARES, strict=True)
            }
            for name, rule in self.rules.items()
        }
        for name in self.systems:
            chosen[name][DEFAULT] = self.defaults[name]
        return chosen

    @cached_property
    def resampler(self) -> Resampler:
        return Resampler(len(self.ids))

    @property
    def steps(self) -> range:
        return range(self.profile.t0, self.profile.max_steps + 1)

    @property
    def fixed_bits(self) -> tuple[int, ...]:
        """Multi-rate's payload at each t."""
        return payload_bits(SYSTEMS[MULTI_RATE], self.profile.harq)

    @cached_property
    def harq(self) -> dict[tuple[str, str, float], Trial]:
        """Test trials by rule, setting and BER."""
        return {
            (name, setting, ber): by_threshold(self.rules[name], outcomes, theta)
            for name, settings in self.thresholds.items()
            for setting, theta in settings.items()
            for ber, outcomes in self.test.items()
        }

    @cached_property
    def fixed(self) -> dict[tuple[int, float], Trial]:
        """Multi-rate's test trials by t and BER."""
        return {(t, ber): self.fixed_trial(t, ber) for t in self.steps for ber in self.test}

    def fixed_trial(self, t: int, ber: float, seeds: int | None = None) -> Trial:
        """Multi-rate over all noise seeds, or over the first of them, with which costly baselines are measured."""
        return at_point(self.test[ber].first_seeds(seeds), t - self.profile.t0, self.fixed_bits)

    @cached_property
    def label_oracle(self) -> dict[float, Trial]:
        """By BER, the oracle that knows the label."""
        return {ber: first_correct(outcomes, self.fixed_bits) for ber, outcomes in self.test.items()}

    @cached_property
    def baseline_trials(self) -> dict[tuple[str, str, float], Trial]:
        """Test trials of the baselines with codecs of their own by system, setting and BER."""
        return {
            (name, setting, ber): trial
            for name, by_ber in self.baselines.items()
            for ber, outcomes in by_ber.items()
            for setting, trial in self._settings(name, outcomes)
        }

    def _settings(self, name: str, outcomes: Outcomes) -> list[tuple[str, Trial]]:
        system, harq = SYSTEMS[name], self.profile.harq
        bits_S = payload_bits(system, harq)
        if system.stop is StopRule.CRC:
            return [(DEFAULT, by_crc(outcomes, bits_S))]
        return [(f"t={t}", at_point(outcomes, point, bits_S)) for point, t in enumerate(fixed_rates(system, harq))]

    @property
    def shown_bers(self) -> list[float]:
        return [ber for ber in SHOWN_BERS if ber in self.test]
