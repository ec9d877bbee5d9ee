# SPDX-License-Identifier: Apache-2.0
"""Figures of a sweep against numpy, in whatever order its units finish, and the moment at which a point stops."""

import csv
import io
import json
import random

import numpy as np
import pytest
from scipy import stats
from sweeps import answer, made_record, sorted_images

from experiments.sweeps.export import COLUMNS, as_csv, as_json
from experiments.sweeps.record import Record, Unit
from experiments.sweeps.result import UnitResult
from experiments.sweeps.statistics import mean_interval, wilson_interval
from experiments.sweeps.tally import SweepTally

IMAGES = sorted_images(22)


def result_of(record: Record, unit: Unit) -> UnitResult:
    images = IMAGES.select(np.arange(len(IMAGES))[record.chunk_rows(unit.chunk)])
    answers = [answer(name, record.points[unit.point].ber, unit.seed) for name in images.ids()]
    classes = tuple(entry.class_index for entry in answers)
    right = tuple(index == label for index, label in zip(classes, images.labels_N.tolist(), strict=True))
    return UnitResult(classes, right, tuple(entry.bits for entry in answers))


def whole(record: Record, order: int | None = None) -> SweepTally:
    tally, units = SweepTally(record), list(record.units())
    if order is not None:
        random.Random(order).shuffle(units)
    for unit in units:
        tally.add(unit.name, result_of(record, unit))
    return tally


def by_hand(record: Record, point: int, count: int) -> tuple[float, float, float]:
    """Accuracy in percent, mean bits and the half width of its interval, from the answers themselves."""
    ids, labels = IMAGES.ids()[:count], IMAGES.labels_N[:count]
    ber, seeds = record.points[point].ber, record.seeds_at(point)
    classes_AN = np.array([[answer(name, ber, seed).class_index for name in ids] for seed in seeds])
    bits_N = np.array([[answer(name, ber, seed).bits for name in ids] for seed in seeds]).mean(axis=0)
    return 100 * (classes_AN == labels).mean(), bits_N.mean(), 1.96 * bits_N.std(ddof=1) / count**0.5


def test_wilsons_interval() -> None:
    # From E. B. Wilson's formula by hand: 0 of n ends at z^2 / (n + z^2); at one half it lies evenly around it.
    assert wilson_interval(0, 10) == pytest.approx((0.0, 1.96**2 / (10 + 1.96**2)))
    low, high = wilson_interval(100, 200)
    assert low + high == pytest.approx(1.0)
    assert high - low == pytest.approx(1.96 * (1 / (200 + 1.96**2)) ** 0.5)
    for right, count in ((0, 1), (3, 7), (98, 100), (100, 100)):
        expected = stats.binomtest(right, count).proportion_ci(method="wilson")
        assert wilson_interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(3).integers(2080, 4128, 50)
    expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert mean_interval(values.sum(), (values**2).sum(), 50) == pytest.approx(expected, abs=0.01)
    assert mean_interval(4096.0, 4096.0**2, 1) is None
    assert mean_interval(3 * 4096.1, 3 * 4096.1**2, 3) == pytest.approx((4096.1, 4096.1))


def test_figures_are_those_of_numpy() -> None:
    record = made_record(IMAGES)
    tally = whole(record)
    assert tally.complete
    assert [figures.images for figures in tally.figures()] == [22, 22]
    for index, figures in enumerate(tally.figures()):
        accuracy, bits, half = by_hand(record, index, 22)
        assert figures.accuracy == pytest.approx(accuracy)
        low, high = wilson_interval(0.22 * accuracy, 22)
        assert figures.accuracy_interval == pytest.approx((100 * low, 100 * high))
        assert figures.bandwidth_bits == pytest.approx(bits)
        assert figures.bandwidth_interval == pytest.approx((bits - half, bits + half))


@pytest.mark.parametrize("half_width", [None, 20.0])
def test_order_changes_nothing(half_width: float | None) -> None:
    record = made_record(IMAGES, half_width=half_width)
    expected = as_json(whole(record))
    assert all(as_json(whole(record, order)) == expected for order in range(20))


def test_a_point_stops_at_the_first_prefix_that_suffices() -> None:
    record = made_record(IMAGES, half_width=20.0)
    tally = whole(record, order=1)
    for index, figures in enumerate(tally.figures()):
        stop = next(n for n in (4, 8, 12, 16, 20, 22) if _half_width(record, index, n) <= 20.0)
        assert 4 < stop < 22
        assert (figures.images, figures.complete, figures.stopped_early) == (stop, True, True)
        assert figures.accuracy == pytest.approx(by_hand(record, index, stop)[0])
    assert tally.complete


def _half_width(record: Record, point: int, count: int) -> float:
    low, high = wilson_interval(by_hand(record, point, count)[0] / 100 * count, count)
    return 50 * (high - low)


def test_nothing_more_is_wanted_of_a_point_that_has_stopped() -> None:
    record = made_record(IMAGES, half_width=20.0, bers=(0.1,))
    tally, taken = SweepTally(record), []
    for unit in tally.wanted():
        taken.append(unit)
        tally.add(unit.name, result_of(record, unit))
    (figures,) = tally.figures()
    assert len(taken) == 2 * figures.images // 4 < 12
    assert (tally.units_done, tally.units_total) == (len(taken), len(taken))


def test_a_gap_is_waited_for() -> None:
    record = made_record(IMAGES, bers=(0.1,), seeds=(3, 4))
    units, tally = list(record.units()), SweepTally(record)
    for unit in units[1:6]:
        tally.add(unit.name, result_of(record, unit))
    assert tally.figures() == []
    assert (tally.units_done, tally.units_total, tally.complete) == (5, 12, False)
    tally.add(units[0].name, result_of(record, units[0]))
    tally.add(units[0].name, result_of(record, units[0]))
    (figures,) = tally.figures()
    assert (figures.images, figures.complete) == (12, False)
    assert [unit.name for unit in tally.wanted()] == [unit.name for unit in units[6:]]


def test_a_result_survives_its_bytes() -> None:
    result = UnitResult((3, 99, 0), (True, False, True), (2080, 131072, 512))
    assert UnitResult.from_bytes(result.to_bytes()) == result


def test_exports_say_what_they_are_made_of() -> None:
    record = made_record(IMAGES, name="a, b")
    tally = whole(record)
    document = json.loads(as_json(tally))
    assert (document["sweep"], document["weights_sha256"], document["version"]) == (record.id, "e" * 64, "0")
    assert (document["seeds"], document["complete"], document["name"]) == ([3, 4], True, "a, b")
    assert document["images"] == {"data_set": "cifar100-test", "folder": None, "first": 0, "count": 22}
    rows = list(csv.DictReader(io.StringIO(as_csv(tally))))
    assert [tuple(row) for row in rows] == [COLUMNS] * 2
    for row, point, figures in zip(rows, document["points"], tally.figures(), strict=True):
        assert (row["sweep"], row["weights_sha256"], row["version"]) == (record.id, "e" * 64, "0")
        assert row["seeds"] == " ".join(map(str, point["seeds"]))
        assert (row["complete"], row["theta"], row["t"]) == ("true", "0.5", "")
        for name in ("accuracy_percent", "accuracy_low", "accuracy_high", "bandwidth_bits", "bandwidth_low", "ber"):
            assert float(row[name]) == point[name]
        assert figures.accuracy == point["accuracy_percent"]
