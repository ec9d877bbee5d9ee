# SPDX-License-Identifier: Apache-2.0
"""What a profile's figures come to, in sentences: what holds of the paper's claim and what does not."""

from experiments.figures.results import Results, one
from experiments.figures.style import look_of
from experiments.figures.targets import OWN_SYSTEMS, PAPER_SYSTEM, accuracy_with_interval, bracket, lost, signed

_ORACLE = "oracle-similarity"


def summary(results: Results) -> list[str]:
    """Sentence by sentence, each computed."""
    return [*_link(results), _similarity(results), *(_own(results, name) for name in _own_systems(results))]


def _own_systems(results: Results) -> list[str]:
    return [name for name in OWN_SYSTEMS if name in results.harq_systems]


def _link(results: Results) -> list[str]:
    """What sending costs; nothing where the backbone as first trained is not at hand."""
    found = lost(results, PAPER_SYSTEM)
    if not found:
        return []
    worst = found[max(found)]
    low, high = (results.point(PAPER_SYSTEM, "default", ber)["bandwidth_bits"] for ber in (min(found), max(found)))
    return [
        f"At its default theta `{PAPER_SYSTEM}` loses {found[min(found)]['points']:.2f} points against the backbone at "
        f"BER {min(found):g}, where it sends {low:,.0f} bits an image, and {worst['points']:.2f} "
        f"{bracket(worst['interval'])} at BER {max(found):g}, where it sends {high:,.0f}."
    ]


def _similarity(results: Results) -> str:
    """The paper's rule against a fixed rate, against p and t alone, and against knowing the similarity itself."""
    rule, oracle = (one(results.gaps["means"], system=name) for name in (PAPER_SYSTEM, _ORACLE))
    gap, interval = rule[f"gap_{rule['axis']}"], rule[f"interval_{rule['axis']}"]
    does = "gains" if interval[0] > 0 else "loses" if interval[1] < 0 else "neither gains nor loses"
    better = oracle["interval_true"][0] > 0
    why = "a better estimate would gain" if better else "a better estimate would not mend that"
    return (
        f"Stopping by estimated similarity {does} against a fixed rate of the same mean bandwidth: {signed(gap)} "
        f"{bracket(interval)} points; against a policy that sees p and t alone {signed(rule['gap_control'])} "
        f"{bracket(rule['interval_control'])}. With the true similarity in place of the estimate (the oracle) it is "
        f"{signed(oracle['gap_true'])} {bracket(oracle['interval_true'])}: {why}."
    )


def _own(results: Results, name: str) -> str:
    """One of our rules, in the mean and where the channel is worst."""
    mean, worst = one(results.gaps["means"], system=name), max(results.bers)
    cell = one(results.gaps["cells"], system=name, setting="default", ber=worst)
    point = results.point(name, "default", worst)
    return (
        f"The {look_of(name).label.removesuffix(' (ours)')}, ours, comes to {signed(mean['gap_true'])} "
        f"{bracket(mean['interval_true'])} in the same mean (three thresholds, all BERs), and at its default theta and "
        f"BER {worst:g} to {signed(cell['gap_true'])} {bracket(cell['interval_true'])}: "
        f"{accuracy_with_interval(point)} at {point['bandwidth_bits']:,.0f} bits."
    )
