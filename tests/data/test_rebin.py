import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.rebin import rebin
from deepspec.errors import UserError

RNG = np.random.default_rng(0)


def overlaps(source, target):
    """(C, D) length that source and target channels share, by two loops."""
    a, b = np.sort(source.edges()), np.sort(target.edges())
    shared = np.array(
        [
            [max(0.0, min(a[i + 1], b[j + 1]) - max(a[i], b[j])) for j in range(target.channels)]
            for i in range(source.channels)
        ]
    )
    shared = shared[::-1] if source.values[0] > source.values[-1] else shared
    return shared[:, ::-1] if target.values[0] > target.values[-1] else shared


AXES = {
    "even": SpectralAxis.linear(1, 0.5, 20, "nm"),
    "finer": SpectralAxis.linear(3, 0.13, 40, "nm"),
    "uneven": SpectralAxis(np.sort(RNG.uniform(2, 9, 12)), "nm"),
    "falling": SpectralAxis(np.sort(RNG.uniform(2, 9, 12))[::-1], "nm"),
}


@pytest.mark.parametrize("target", AXES)
def test_counts_and_means_against_loops(target):
    axis = AXES[target]
    for source in (AXES["even"], SpectralAxis(AXES["even"].values[::-1], "nm")):
        x = RNG.poisson(9, (3, source.channels)).astype(np.uint16)
        shared = overlaps(source, axis)
        counts = x @ (shared / source.widths()[:, None])
        np.testing.assert_allclose(rebin(x, source, axis, counts=True), counts, rtol=1e-5)
        means = x @ shared / axis.widths()
        np.testing.assert_allclose(rebin(x, source, axis, counts=False), means, rtol=1e-5)


def test_same_axis_and_other_units_change_nothing():
    x = RNG.poisson(9, (3, 20))
    for axis in (AXES["even"], AXES["even"].to("angstrom")):
        for counts in (True, False):
            np.testing.assert_allclose(rebin(x, AXES["even"], axis, counts=counts), x, rtol=1e-5)


def test_totals_and_constants_are_kept():
    whole = SpectralAxis.linear(2, 2.5, 4, "nm")  # 0.75 to 10.75 nm, the range of the source
    x = RNG.poisson(9, (3, 20))
    np.testing.assert_allclose(rebin(x, AXES["even"], whole, counts=True).sum(axis=1), x.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(rebin(np.full((1, 20), 7), AXES["even"], whole, counts=False), 7, rtol=1e-6)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (SpectralAxis.linear(0, 0.5, 20, "nm"), "the target reaches beyond the source"),
        (SpectralAxis.linear(1, 0.5, 25, "nm"), "the target reaches beyond the source"),
        (SpectralAxis.linear(1, 0.5, 20, "keV"), "nm cannot be given in keV"),
    ],
)
def test_errors(target, message):
    with pytest.raises(UserError, match=message):
        rebin(np.ones((1, 20)), AXES["even"], target, counts=True)


def test_no_count_becomes_less_than_none():
    """A square root takes no share of -1e-14 counts, which rounding could leave where a spectrum is empty."""
    x = RNG.poisson(0.05, (200, 400)).astype(np.uint16)
    source = SpectralAxis.linear(0.0, 0.02, 400, "keV")
    for counts in (True, False):
        for step in (0.0742, 0.013):
            target = SpectralAxis.linear(0.5, step, 90, "keV")
            assert rebin(x, source, target, counts=counts).min() == 0
    falling = SpectralAxis(source.values[::-1], "keV")
    assert rebin(x / 7, falling, target, counts=True).min() == 0
