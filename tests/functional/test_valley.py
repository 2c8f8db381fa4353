"""The depth of a valley against a kernel density written out."""

import numpy as np
import pytest

from deepspec.functional.valley import valley_ratio


def written_out(first, second):
    """The definition, point by point: every kernel at every place of a fine grid."""
    low, high = sorted((first, second), key=np.median)
    pooled = np.concatenate([low, high])
    spreads = [min(x.std(), np.subtract(*np.quantile(x, [0.75, 0.25])) / 1.34) for x in (low, high)]
    spread = np.average(spreads, weights=[len(low), len(high)])
    bandwidth = 0.9 * spread * min(len(low), len(high)) ** -0.2
    places = np.linspace(np.median(low), np.median(high), 400)
    kernels = np.exp(-((places[:, None] - pooled) ** 2) / (2 * bandwidth**2))
    density = kernels.sum(1) / np.sqrt(2 * np.pi) / bandwidth
    heights = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    error = np.sqrt(density / (2 * np.sqrt(np.pi) * bandwidth))
    return min(1.0, ((density + error) / heights).min())


@pytest.mark.parametrize("apart", [1.0, 2.5, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("sizes", [(400, 400), (2000, 150)])
def test_against_the_definition(apart, sizes):
    rng = np.random.default_rng(int(10 * apart))
    first, second = rng.normal(0, 1, sizes[0]), rng.normal(apart, 1, sizes[1])
    assert valley_ratio(first, second) == pytest.approx(written_out(first, second), abs=0.03)


def test_the_order_and_the_unit_do_not_matter():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 300), rng.normal(4, 1, 500)
    found = valley_ratio(first, second)
    assert valley_ratio(second, first) == found
    assert valley_ratio(1e6 * first - 7, 1e6 * second - 7) == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("cut", [-1.5, 0.0, 0.5, 1.5])
def test_a_hump_that_is_cut_in_two_has_no_valley(cut):
    numbers = np.random.default_rng(1).normal(0, 1, 4000)
    assert valley_ratio(numbers[numbers < cut], numbers[numbers >= cut]) > 0.9


def test_heaps_far_apart_and_degenerate_ones():
    rng = np.random.default_rng(2)
    assert valley_ratio(rng.normal(0, 1, 50), rng.normal(100, 1, 50)) == 0
    assert valley_ratio(np.zeros(30), np.ones(30)) == 0
    assert valley_ratio(np.zeros(30), np.zeros(30)) == 1
    assert valley_ratio(np.zeros(0), np.ones(3)) == 1


def test_few_numbers_make_no_valley_by_chance():
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(50):
        numbers = rng.normal(0, 1, 60)
        ratios.append(valley_ratio(numbers[numbers < 0], numbers[numbers >= 0]))
    assert np.mean(np.array(ratios) < 0.85) <= 0.1
