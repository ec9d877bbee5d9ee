# SPDX-License-Identifier: Apache-2.0
"""The speed of a sweep: known times against what it says."""

import pytest

from experiments.sweeps.pace import WINDOW_S, Pace, Speed


def test_it_says_nothing_before_anything_has_been_done() -> None:
    pace = Pace()
    assert pace.speed(10) is None
    pace.see(5.0, 0, 0)
    assert pace.speed(10) is None
    pace.see(5.0, 1, 30)
    assert pace.speed(10) is None, "no time has passed"
    pace.see(8.0, 1, 30)
    assert pace.speed(10) == Speed(10.0, 30.0)


def test_what_was_there_at_first_is_no_speed() -> None:
    pace = Pace()
    pace.see(100.0, 50, 1500)
    pace.see(104.0, 52, 1560)
    assert pace.speed(3) == Speed(15.0, 6.0)


def test_images_of_a_last_smaller_unit_count_as_what_they_are() -> None:
    pace = Pace()
    for at_s, units, images in ((0.0, 0, 0), (2.0, 1, 40), (4.0, 2, 50)):
        pace.see(at_s, units, images)
    assert pace.speed(0) == Speed(12.5, 0.0)


@pytest.mark.parametrize("period_s", [0.5, 7.0, 45.0, 200.0])
def test_it_follows_a_change_within_the_window(period_s: float) -> None:
    """A tenfold slowdown: the old speed is forgotten once the window, or one step where that is longer, is over."""
    pace, now_s, units = Pace(), 0.0, 0
    pace.see(now_s, units, 0)
    for _ in range(100):
        now_s, units = now_s + period_s / 10, units + 1
        pace.see(now_s, units, 8 * units)
    while_fast = pace.speed(1)
    assert while_fast is not None
    assert while_fast.left_s == pytest.approx(period_s / 10)
    for _ in range(int(max(WINDOW_S / period_s, 1)) + 1):
        now_s, units = now_s + period_s, units + 1
        pace.see(now_s, units, 8 * units)
    slow = pace.speed(1)
    assert slow is not None
    assert slow.left_s == pytest.approx(period_s)
    assert slow.images_per_s == pytest.approx(8 / period_s)
