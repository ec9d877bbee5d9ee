# SPDX-License-Identifier: Apache-2.0
"""The two intervals of a sweep's figures, both 95 % and over images: more noise seeds do not make more images."""

Interval = tuple[float, float]

Z_95 = 1.96


def wilson_interval(right: float, count: int) -> Interval:
    """Of a proportion by Wilson's score, which stays inside 0..1 for small counts too.

    ``right`` of ``count`` images; no whole number where an image is right under some of its noise seeds. That an image
    is then less random than a coin makes the interval, if anything, too wide.
    """
    share, spread = right / count, Z_95 * Z_95 / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 * ((share * (1 - share) + spread / 4) / count) ** 0.5 / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(total: float, total_of_squares: float, count: int) -> Interval | None:
    """Of a mean, from the sums of ``count`` values and of their squares, by the normal law; None for a single value."""
    if count < 2:
        return None
    mean = total / count
    # Rounding can make it a little less than nothing where all values are equal.
    variance = max(0.0, (total_of_squares - total * mean) / (count - 1))
    half = Z_95 * (variance / count) ** 0.5
    return mean - half, mean + half
