"""Each step against numpy, scipy or scikit-learn, then the chain: state, ownership, inverse, errors."""

import io

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.preprocess import Preprocess
from deepspec.preprocess.steps import STEPS, build_step

CHAINS = [
    ["sqrt", "max"],
    [{"step": "rebin", "bins": 7}, "log1p", "area"],
    [{"step": "rebin", "bins": 10, "mode": "mean"}, "anscombe", {"step": "standard", "scale": "channel"}],
    [{"step": "rebin", "bins": 19, "mode": "paper"}, "max"],
    [{"step": "smooth", "width": 3}, "quantile_tanh"],
    [{"step": "smooth", "sigma": 1.5}, "unit"],
    [{"step": "clip", "min": 2}, "minmax", "standard"],
    ["dose", {"step": "sqrt", "inverse": "poisson"}, "standard"],
    [{"step": "snip", "window": 4}, "sqrt"],
    ["standard"],
    ["clip"],
    [],
]

MIXTURES = [
    [{"step": "pca", "components": 5}],
    ["log", {"step": "pca", "components": 4}, "standard"],
    [{"step": "rebin", "bins": 7}, "sqrt", {"step": "pca", "components": 9}],
    ["unit", {"step": "pca", "components": 3}],
    ["log", {"step": "pca", "components": 8}, {"step": "mnf", "components": 4}],
    [
        {"step": "rebin", "bins": 10},
        {"step": "views", "chains": [["minmax", {"step": "pca", "components": 6}], ["unit"], ["log", "mnf"], []]},
        "standard",
    ],
]


def counts(n=50, channels=20, seed=0, mean=20.0):
    return torch.from_numpy(np.random.default_rng(seed).poisson(mean, (n, channels)).astype(np.uint16))


def apply(x, *steps):
    """Fit on x, and return x transformed, as float64 numpy."""
    x = torch.as_tensor(x)
    preprocess = Preprocess(x.shape[1], steps)
    preprocess.fit(x)
    return preprocess(x).double().numpy()


# SNIP


def clipped_by_loops(spectrum, window):
    """Independent reference: the published loops, a channel at a time."""
    v = [np.log(np.log(np.sqrt(max(value, 0.0) + 1) + 1) + 1) for value in spectrum]
    for p in range(1, window + 1):
        before = list(v)
        for c in range(p, len(v) - p):
            v[c] = min(before[c], (before[c - p] + before[c + p]) / 2)
    return [(np.exp(np.exp(value) - 1) - 1) ** 2 - 1 for value in v]


@pytest.mark.parametrize("window", [1, 3, 9])
def test_snip_against_loops(window):
    x = np.random.default_rng(0).normal(30, 25, (6, 40))  # some are negative
    expected = np.array([clipped_by_loops(row, window) for row in x])
    step = build_step({"step": "snip", "window": window}, 40)
    np.testing.assert_allclose(step.background(torch.from_numpy(x)), expected, rtol=1e-9, atol=1e-9)
    net = np.maximum(np.maximum(x, 0) - expected, 0)
    np.testing.assert_allclose(apply(x, {"step": "snip", "window": window}), net, rtol=1e-5, atol=1e-3)


def test_snip_takes_a_slope_and_leaves_a_peak():
    channel = np.arange(300.0)
    slope = 400 * np.exp(-channel / 200)
    peak = 1000 * np.exp(-0.5 * ((channel - 150) / 4) ** 2)
    net = apply((slope + peak)[None], {"step": "snip", "window": 16})[0]
    assert net.sum() == pytest.approx(peak.sum(), rel=0.02)
    np.testing.assert_allclose(net, peak, atol=6)
    wide = apply((slope + peak)[None], {"step": "snip", "window": 3})[0]
    assert wide.sum() < 0.5 * peak.sum()  # what is wider than the window counts as background


def test_snip_says_that_the_background_is_gone():
    preprocess = Preprocess(20, [{"step": "snip", "window": 4}, "sqrt"])
    assert preprocess.invertible_to == "counts"
    assert preprocess.notes == (
        "snip: the background (window 4 channels) is not kept, so that decoded spectra are net of it; the mean spectra "
        "of the cubes still have it",
    )


# Rebin


def interpolated_cumulative(x, bins):
    """Independent reference: differences of the cumulative spectrum, interpolated at the bins' edges."""
    channels = x.shape[1]
    cumulative = np.concatenate([np.zeros((len(x), 1)), np.cumsum(x, 1, dtype=np.float64)], axis=1)
    edges = np.linspace(0, channels, bins + 1)
    return np.diff([np.interp(edges, np.arange(channels + 1), row) for row in cumulative], axis=1)


@pytest.mark.parametrize(
    ("channels", "bins"), [(20, 10), (20, 20), (24, 2), (60, 5), (20, 1), (20, 7), (20, 19), (37, 5)]
)
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_rebin_is_the_interpolated_cumulative_spectrum(channels, bins, mode):
    x = counts(channels=channels)
    expected = interpolated_cumulative(x.numpy(), bins) * (1 if mode == "sum" else bins / channels)
    result = apply(x, {"step": "rebin", "bins": bins, "mode": mode})
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "expected"), [(2, 2), (200, 200), (500, 500), (1023, 1023), (1024, 1024), (1025, 1024), (3681, 1024)]
)
def test_rebin_at_most_leaves_fewer_channels_as_they_are(channels, expected):
    chain = Preprocess(channels, [{"step": "rebin", "bins": 1024, "at_most": True}])
    assert chain.channels_out == expected
    x = counts(5, channels)
    if channels > 1024:
        np.testing.assert_allclose(chain(x), apply(x, {"step": "rebin", "bins": 1024}))
    else:
        np.testing.assert_array_equal(chain(x), x.float())
        np.testing.assert_array_equal(chain.axis(np.arange(channels)), np.arange(channels))
    again = Preprocess(channels, chain.spec)
    again.load_state_dict(chain.state_dict())
    np.testing.assert_array_equal(again(x), chain(x))


@pytest.mark.parametrize("bins", [1, 3, 512, 1000, 3680])
def test_rebin_conserves_counts(bins):
    x = counts(5, 3681)
    result = apply(x, {"step": "rebin", "bins": bins})
    np.testing.assert_allclose(result.sum(1), x.long().sum(1), rtol=1e-6)


def test_rebin_keeps_a_count_beside_a_huge_peak():
    # differences of a float32 cumulative sum would lose it
    x = torch.zeros(1, 3000)
    x[0, 10], x[0, 2999] = 3e9, 1.0
    assert apply(x, {"step": "rebin", "bins": 1024})[0, -1] == 1.0


def test_rebin_paper_drops_what_does_not_fill_whole_groups():
    x = counts(3, 3000)
    expected = x[:, :2048].numpy().reshape(3, 1024, 2).sum(2)
    np.testing.assert_array_equal(apply(x, {"step": "rebin", "bins": 1024, "mode": "paper"}), expected)


def test_rebin_axis_is_the_centre_of_each_bin():
    axis = 4750 + 1.25 * np.arange(3681)
    for bins in (1024, 1227, 3681, 1):
        edges = 4750 - 0.625 + 1.25 * 3681 / bins * np.arange(bins + 1)
        result = Preprocess(3681, [{"step": "rebin", "bins": bins}]).axis(axis)
        assert result.dtype == np.float64
        # equal but for the sub-channel shift that sharing a channel out as a whole makes
        np.testing.assert_allclose(result, (edges[1:] + edges[:-1]) / 2, atol=1.25 * bins / 3681)
    paper = Preprocess(3000, [{"step": "rebin", "bins": 1024, "mode": "paper"}]).axis(np.arange(3000.0))
    np.testing.assert_array_equal(paper, 0.5 + 2 * np.arange(1024))


def test_rebin_axis_weights_a_crooked_axis_by_overlap():
    # bins of 1.5 channels: (0, 1/2 of 1), (1/2 of 1, 2)
    result = Preprocess(3, [{"step": "rebin", "bins": 2}]).axis([0.0, 3.0, 30.0])
    np.testing.assert_allclose(result, [(0 + 1.5) / 1.5, (1.5 + 30) / 1.5])


# Smooth and pointwise


@pytest.mark.parametrize("width", [1, 3, 9])
def test_moving_average_is_scipys(width):
    x = counts().double().numpy()
    np.testing.assert_allclose(
        apply(x, {"step": "smooth", "width": width}), ndimage.uniform_filter1d(x, width, mode="mirror"), rtol=1e-5
    )


@pytest.mark.parametrize("sigma", [0.1, 0.8, 3.0])
def test_gaussian_is_scipys(sigma):
    x = counts().double().numpy()
    np.testing.assert_allclose(
        apply(x, {"step": "smooth", "sigma": sigma}), ndimage.gaussian_filter1d(x, sigma, mode="mirror"), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("step", "reference"),
    [
        ("log1p", np.log1p),
        ("sqrt", np.sqrt),
        ("anscombe", lambda x: 2 * np.sqrt(x + 0.375)),
        ("clip", lambda x: x),
        ({"step": "clip", "min": 15}, lambda x: np.maximum(x, 15)),
    ],
)
def test_pointwise(step, reference):
    x = counts().double().numpy()
    np.testing.assert_allclose(apply(x, step), reference(x), rtol=1e-6)


def test_clip_raises_negative_values():
    np.testing.assert_array_equal(apply(np.array([[-3.0, 0.0, 2.0]]), "clip"), [[0, 0, 2]])


def test_anscombe_evens_out_poisson_noise():
    x = np.random.default_rng(0).poisson([5, 20, 100, 1000], (20000, 4))
    np.testing.assert_allclose(apply(x, "anscombe").var(0), 1, atol=0.05)


# Normalisation per spectrum


@pytest.mark.parametrize(
    ("step", "size"),
    [("max", lambda x: x.max(1)), ("area", lambda x: x.sum(1)), ("unit", lambda x: np.linalg.norm(x, axis=1))],
)
def test_normalise(step, size):
    x = counts(seed=3).double().numpy()
    result = apply(x, step)
    np.testing.assert_allclose(result, x / size(x)[:, None], rtol=1e-6)
    np.testing.assert_allclose(size(result), 1, rtol=1e-6)


@pytest.mark.parametrize("step", ["max", "area", "unit", "quantile_tanh"])
def test_spectra_without_signal_become_zeros(step):
    x = torch.zeros(3, 8)
    x[1] = torch.arange(8)
    if step != "unit":
        x[2] = -1  # no positive maximum, area or mean
    result = Preprocess(8, [step])(x)
    assert not result[0].any()
    assert not result[2].any()
    assert result[1].any()
    assert result.isfinite().all()


@pytest.mark.parametrize("step", ["max", "area", "unit"])
def test_normalise_tiny_and_huge_spectra(step):
    x = torch.tensor([[1e-39, 2e-39], [1e18, 2e18]])
    result = Preprocess(2, [step])(x)
    assert result.isfinite().all()
    if step == "max":
        torch.testing.assert_close(result[:, 1], torch.ones(2))


def test_dose_brings_every_spectrum_to_the_median_of_the_training():
    x = counts(50, seed=3).double().numpy()
    preprocess = Preprocess(20, ["dose"])
    preprocess.fit(torch.from_numpy(x))
    level = np.median(x.sum(1))
    np.testing.assert_allclose(preprocess(torch.from_numpy(x)), x / x.sum(1, keepdims=True) * level, rtol=1e-6)
    other = counts(30, seed=4)
    for factor in (0.5, 2.0, 137.0):
        torch.testing.assert_close(preprocess(other.float() * factor), preprocess(other), rtol=1e-6, atol=0)
    empty = torch.zeros(3, 20)
    empty[1], empty[2, :2] = -1, torch.tensor([2.0, -2.0])
    assert not preprocess(empty).any()


def test_dose_takes_its_level_from_spectra_that_have_counts():
    x = counts(21, seed=3)
    preprocess, expected = Preprocess(20, ["dose"]), Preprocess(20, ["dose"])
    preprocess.fit(torch.cat([x.float(), torch.zeros(30, 20), -torch.ones(30, 20)]))
    expected.fit(x)
    assert torch.equal(preprocess.steps[0].level, expected.steps[0].level)
    with pytest.raises(UserError, match=r"^dose: expected spectra with counts; the sums of all 5 are 0 or below$"):
        Preprocess(20, ["dose"]).fit(torch.zeros(5, 20))


# Scaling by a training sample


@pytest.mark.parametrize("centre", [True, False])
def test_standard_by_channel_is_scikit_learns(centre):
    x = counts(9000).double().numpy() * np.linspace(1, 9, 20)
    expected = StandardScaler(with_mean=centre).fit_transform(x)
    result = apply(x, {"step": "standard", "scale": "channel", "centre": centre})
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("centre", [True, False])
def test_standard_by_one_global_deviation(centre):
    x = counts().double().numpy() * np.linspace(1, 9, 20)
    centred = x - x.mean(0)
    expected = (centred if centre else x) / np.sqrt((centred**2).mean())
    np.testing.assert_allclose(apply(x, {"step": "standard", "centre": centre}), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(apply(x, "standard"), apply(x, {"step": "standard", "scale": "global"}))


def test_minmax_is_scikit_learns():
    x = counts().double().numpy()
    np.testing.assert_allclose(apply(x, "minmax"), MinMaxScaler().fit_transform(x), rtol=1e-6)


@pytest.mark.parametrize("step", ["minmax", "standard", {"step": "standard", "scale": "channel"}])
@pytest.mark.parametrize("value", [0.0, 0.1, 12345.678])
def test_constant_channels_become_zero(step, value):
    x = np.full((3000, 2), value)
    x[:, 1] += np.arange(3000)
    result = apply(x, step)
    np.testing.assert_allclose(result[:, 0], 0, atol=1e-3)
    assert np.isfinite(result).all()
    all_constant = apply(np.full((10, 2), value), step)
    np.testing.assert_allclose(all_constant, 0, atol=1e-3)


def test_statistics_do_not_drift_on_many_large_values():
    # a float32 sum of these is off by far more than the deviation of 1
    x = 60000 + torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    result = apply(x, {"step": "standard", "scale": "channel"})
    np.testing.assert_allclose(result.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(result.std(0), 1, atol=0.01)


# Quantile-tanh


@pytest.mark.parametrize("channels", [4, 5, 6, 7, 101, 256])
def test_quantile_tanh_by_numpy(channels):
    x = np.random.default_rng(0).gamma(2.0, 100.0, (30, channels))
    y = np.log(x / x.mean(1, keepdims=True) + 1e-3)
    q1, q3 = np.quantile(y, [0.25, 0.75], axis=1, method="nearest")[:, :, None]
    expected = np.tanh(-1 + 2 * (y - q1) / (q3 - q1))
    np.testing.assert_allclose(apply(x, "quantile_tanh"), expected, rtol=1e-3, atol=1e-4)


def test_quantile_tanh_puts_the_quartiles_at_tanh_1_and_ignores_intensity():
    x = np.random.default_rng(1).gamma(2.0, 100.0, (20, 101))
    result = apply(x, "quantile_tanh")
    np.testing.assert_allclose(
        np.quantile(result, [0.25, 0.75], axis=1), [[-np.tanh(1)] * 20, [np.tanh(1)] * 20], atol=1e-5
    )
    np.testing.assert_allclose(apply(1000 * x, "quantile_tanh"), result, atol=1e-5)


def test_quantile_tanh_degenerate_spectra():
    x = np.zeros((3, 16))
    x[0] = 5.0  # flat: Q1 = Q3
    x[1, :3] = 9.0  # counts in fewer than a quarter of the channels
    x[2] = np.arange(16) - 3.0  # negative values count as 0
    result = apply(x, "quantile_tanh")
    assert not result[:2].any()
    assert np.isfinite(result).all()
    assert result[2, 0] == result[2, 3]


# The logarithm with a floor


def test_log_is_numpys_with_a_floor_at_a_quantile_of_the_positive_values():
    x = np.random.default_rng(0).gamma(2.0, 100.0, (300, 20))
    x[:, 3], x[0, 0] = 0, -5
    floor = np.quantile(x[x > 0].astype(np.float32), 0.1)
    result = apply(x, {"step": "log", "quantile": 0.1})
    np.testing.assert_allclose(result, np.log(np.maximum(x, floor)), rtol=1e-5)
    np.testing.assert_allclose(apply(x, "log"), apply(x, {"step": "log", "quantile": 0.005}))


def test_log_is_undone_above_the_floor():
    x = counts(mean=50.0).float()
    preprocess = Preprocess(20, [{"step": "log", "quantile": 0.05}])
    preprocess.fit(x)
    floor = np.quantile(x.numpy(), 0.05)
    torch.testing.assert_close(preprocess.inverse(preprocess(x)), x.clamp_min(floor), rtol=1e-5, atol=0)
    assert preprocess.invertible_to == "counts"


def test_log_of_nothing_positive():
    with pytest.raises(UserError, match="log: expected positive values, got none: the largest is -1"):
        Preprocess(20, ["log"]).fit(-torch.ones(3, 20))


# Principal components


@pytest.mark.parametrize(("n", "components"), [(300, 5), (300, 20), (12, 11)])
def test_pca_is_scikit_learns_up_to_sign(n, components):
    from sklearn.decomposition import PCA

    x = np.random.default_rng(0).gamma(2.0, 100.0, (n, 20)) * np.linspace(1, 9, 20)
    reference = PCA(components, svd_solver="full").fit(x)
    result = apply(x, {"step": "pca", "components": components})
    expected = reference.transform(x)
    expected *= np.sign((result * expected).sum(0))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    preprocess = Preprocess(20, [{"step": "pca", "components": components}])
    preprocess.fit(torch.from_numpy(x))
    np.testing.assert_allclose(
        preprocess.inverse(preprocess(torch.from_numpy(x))),
        reference.inverse_transform(reference.transform(x)),
        rtol=1e-3,
    )
    axes = preprocess.steps[0].axes_DC
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()


def test_pca_finds_small_components_beside_a_huge_one():
    # in float32 a covariance loses what is below 1e-7 of its largest entry
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((5000, 3)) * [1e4, 1.0, 0.3]
    axes = np.linalg.qr(rng.standard_normal((20, 3)))[0]
    x = torch.from_numpy(scores @ axes.T)
    preprocess = Preprocess(20, [{"step": "pca", "components": 3}])
    preprocess.fit(x)
    overlap = np.abs(preprocess.steps[0].axes_DC.double().numpy() @ axes)
    np.testing.assert_allclose(overlap, np.eye(3), atol=0.02)


@pytest.mark.parametrize(
    ("n", "components", "found"), [(100, 50, 20), (7, 10, 6), (1, 4, 0)], ids=["channels", "spectra", "one"]
)
def test_fewer_components_than_asked_for_are_said(n, components, found):
    x = counts(n).float()
    preprocess = Preprocess(20, [{"step": "pca", "components": components}])
    preprocess.fit(x)
    assert preprocess.notes == (
        f"pca: {found} of {components} components, for the {n} spectra of 20 channels vary in no more",
    )
    result = preprocess(x)
    assert result.shape == (n, min(components, 20))
    assert not result[:, found:].any()
    torch.testing.assert_close(preprocess.inverse(result), x, rtol=1e-4, atol=1e-3)


def test_enough_components_need_no_note():
    preprocess = Preprocess(20, ["sqrt", "pca"])
    preprocess.fit(counts())
    assert preprocess.notes == ()


def test_where_the_channels_are_after_components():
    axis = SpectralAxis.linear(400, 10, 20, "nm")
    for spec, channels, unit, quantity in (
        (["sqrt", {"step": "pca", "components": 4}, "standard"], 20, "nm", "counts"),
        (["unit", {"step": "pca", "components": 4}], 20, "nm", "relative intensity"),
        ([{"step": "rebin", "bins": 10}, {"step": "pca", "components": 4}], 10, "nm", "counts"),
        # the scale of the scores is lost: there is no way back through the mean
        ([{"step": "pca", "components": 4}, "unit"], 4, "channel", "relative intensity after pca"),
        # rebinned scores are no scores
        (
            [{"step": "pca", "components": 4}, {"step": "rebin", "bins": 2}],
            2,
            "channel",
            "relative intensity after pca",
        ),
        (["minmax", {"step": "rebin", "bins": 10}], 10, "nm", "relative intensity after minmax"),
    ):
        preprocess = Preprocess(20, spec)
        preprocess.fit(counts())
        decoded = preprocess.decoded_axis(axis)
        result = preprocess.inverse(preprocess(counts()))
        assert (decoded.channels, decoded.unit, preprocess.invertible_to) == (channels, unit, quantity), spec
        assert preprocess.channels_decoded == result.shape[1] == channels
        if channels == 20:
            assert decoded.difference(axis) is None
    np.testing.assert_array_equal(preprocess.axis(axis.values), axis.values.reshape(10, 2).mean(1))
    np.testing.assert_array_equal(Preprocess(20, [{"step": "pca", "components": 3}]).axis(axis.values), [0, 1, 2])
    with pytest.raises(ValueError, match="an axis of 20 channels; got 19"):
        preprocess.decoded_axis(SpectralAxis.linear(0, 1, 19, "nm"))


# Minimum noise fractions


def scene(seed=0):
    """300 spectra of a few broad components under noise of very different size in each channel, and 400 neighbours."""
    rng = np.random.default_rng(seed)
    shapes = np.exp(-0.5 * ((np.arange(20) - np.array([[4], [9], [15]])) / 3.0) ** 2)
    noise = np.geomspace(0.05, 2.0, 20)
    clean = 100 + rng.gamma(2, 5, (300, 3)) @ shapes
    pairs = np.repeat(100 + rng.gamma(2, 5, (400, 3)) @ shapes, 2, 0)
    return clean + noise * rng.standard_normal(clean.shape), pairs + noise * rng.standard_normal(pairs.shape)


@pytest.mark.parametrize("whiten", [0, 0.5, 1])
def test_mnf_is_the_generalised_eigenproblem_of_scipy(whiten):
    from scipy.linalg import eigh

    x, neighbours = scene()
    difference = neighbours[::2] - neighbours[1::2]
    noise = sum(np.outer(d, d) for d in difference) / len(difference) / 2
    ratio, vectors = eigh(np.cov(x.T, bias=True), noise)
    ratio, vectors = ratio[::-1][:5], vectors[:, ::-1][:, :5]
    expected = (x - x.mean(0)) @ vectors * ratio ** (-whiten / 2)
    preprocess = Preprocess(20, [{"step": "mnf", "components": 5, "whiten": whiten}])
    preprocess.fit(torch.from_numpy(x), torch.from_numpy(neighbours))
    result = preprocess(torch.from_numpy(x)).double().numpy()
    expected *= np.sign((result * expected).sum(0))
    np.testing.assert_allclose(result, expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(result.var(0), ratio ** (1 - whiten), rtol=1e-3)
    # by the pseudo-inverse: the scores of what comes back are the same, and there is no shorter such spectrum
    undone = preprocess.inverse(preprocess(torch.from_numpy(x)))
    axes = (vectors * ratio ** (-whiten / 2)).T
    np.testing.assert_allclose(undone, x.mean(0) + (x - x.mean(0)) @ axes.T @ np.linalg.pinv(axes).T, rtol=1e-3)
    torch.testing.assert_close(preprocess(undone), preprocess(torch.from_numpy(x)), rtol=1e-3, atol=2e-2)


def test_all_noise_fractions_give_the_spectra_back():
    x, neighbours = map(torch.from_numpy, scene())
    preprocess = Preprocess(20, [{"step": "mnf", "components": 20}])
    preprocess.fit(x, neighbours)
    torch.testing.assert_close(preprocess.inverse(preprocess(x)), x.float(), rtol=1e-3, atol=0)
    assert preprocess.invertible_to == "counts"


def test_the_noise_is_that_of_the_spectra_as_the_steps_before_leave_them():
    x, neighbours = scene()
    chain = Preprocess(20, ["log", {"step": "pca", "components": 9}, {"step": "mnf", "components": 4}])
    chain.fit(torch.from_numpy(x), torch.from_numpy(neighbours))
    before = Preprocess(20, ["log", {"step": "pca", "components": 9}])
    before.fit(torch.from_numpy(x))
    alone = Preprocess(9, [{"step": "mnf", "components": 4}])
    alone.fit(before(torch.from_numpy(x)), before(torch.from_numpy(neighbours)))
    torch.testing.assert_close(chain(torch.from_numpy(x)), alone(before(torch.from_numpy(x))))


def test_mnf_needs_neighbours_that_differ():
    assert Preprocess(20, ["mnf"]).needs_neighbours
    assert not Preprocess(20, ["pca"]).needs_neighbours
    with pytest.raises(UserError, match="mnf: expected pairs of neighbouring pixels to measure the noise on; got none"):
        Preprocess(20, ["mnf"]).fit(counts())
    with pytest.raises(UserError, match="mnf: the 2 pairs of neighbouring pixels are equal: no noise"):
        Preprocess(20, ["mnf"]).fit(counts(), torch.ones(4, 20))


def test_channels_that_are_constant_are_no_noise_fractions():
    x, neighbours = scene()
    x[:, 3], neighbours[:, 3] = 7, 7
    preprocess = Preprocess(20, [{"step": "mnf", "components": 20}])
    preprocess.fit(torch.from_numpy(x), torch.from_numpy(neighbours))
    assert preprocess.notes[0].startswith("mnf: 19 of 20 components")
    torch.testing.assert_close(
        preprocess.inverse(preprocess(torch.from_numpy(x))), torch.from_numpy(x).float(), rtol=1e-3, atol=1e-3
    )


# Views


VIEWS = [["minmax", {"step": "pca", "components": 6}], ["log", {"step": "pca", "components": 4}], ["unit"]]


def test_views_are_the_chains_each_divided_by_one_deviation():
    x = counts(300)
    parts = []
    for chain in VIEWS:
        y = apply(x, *chain)
        parts.append(y / np.sqrt(((y - y.mean(0)) ** 2).mean()))
    result = apply(x, {"step": "views", "chains": VIEWS})
    np.testing.assert_allclose(result, np.concatenate(parts, 1), rtol=1e-4, atol=1e-4)


def test_gradients_go_through_all_views():
    x = (1 + counts(30).float()).requires_grad_()
    preprocess = Preprocess(20, [{"step": "views", "chains": VIEWS}])
    preprocess.fit(x.detach())
    weights = torch.linspace(-1, 1, preprocess.channels_out)
    (gradient,) = torch.autograd.grad((preprocess(x) * weights).sum(), x)
    expected, first = torch.zeros_like(x), 0
    for chain, scale in zip(preprocess.steps[0].chains, preprocess.steps[0].scale_V, strict=True):
        own = weights[first : first + chain.channels_out] / scale
        expected += torch.autograd.grad((chain(x) * own).sum(), x)[0]
        first += chain.channels_out
    torch.testing.assert_close(gradient, expected)


def test_spectra_come_back_from_the_first_view():
    x = counts(300).float()
    axis = SpectralAxis.linear(400, 10, 20, "nm")
    for before, chains, quantity, channels, unit in (
        ([], VIEWS, "counts", 20, "nm"),
        ([], VIEWS[::-1], "relative intensity", 20, "nm"),
        (["sqrt"], VIEWS, "counts", 20, "nm"),
        (["log1p"], VIEWS[::-1], "relative intensity after log1p", 20, "nm"),
        ([], [[{"step": "rebin", "bins": 10}, "sqrt", "pca"], ["max"]], "counts", 10, "nm"),
        ([], [["quantile_tanh", "pca"], ["max"]], "relative intensity after quantile_tanh", 20, "nm"),
        (["sqrt"], [["pca", "max"], []], "relative intensity after pca", 16, "channel"),
    ):
        preprocess = Preprocess(20, [*before, {"step": "views", "chains": chains}, "standard"])
        preprocess.fit(x)
        first = Preprocess(20, [*before, *chains[0]])
        first.fit(x)
        torch.testing.assert_close(preprocess.inverse(preprocess(x)), first.inverse(first(x)), rtol=1e-3, atol=1e-3)
        decoded = preprocess.decoded_axis(axis)
        assert (preprocess.invertible_to, decoded.channels, decoded.unit) == (quantity, channels, unit), chains
        assert preprocess.channels_decoded == channels
        assert first.decoded_axis(axis).difference(decoded) is None


def test_a_view_that_is_constant_is_not_scaled():
    preprocess = Preprocess(20, [{"step": "views", "chains": [[], ["max"]]}])
    preprocess.fit(torch.full((30, 20), 4.0))
    torch.testing.assert_close(preprocess(torch.full((1, 20), 4.0)), torch.tensor([[4.0] * 20 + [1.0] * 20]))


def test_the_noise_of_views_and_their_notes():
    x, neighbours = map(torch.from_numpy, scene())
    chains = [[{"step": "pca", "components": 30}], ["log", {"step": "mnf", "components": 4}]]
    preprocess = Preprocess(20, [{"step": "views", "chains": chains}])
    assert preprocess.needs_neighbours
    preprocess.fit(x, neighbours)
    alone = Preprocess(20, chains[1])
    alone.fit(x, neighbours)
    y = alone(x)
    torch.testing.assert_close(preprocess(x)[:, 20:], y / (y - y.mean(0)).square().mean().sqrt(), rtol=1e-4, atol=1e-4)
    assert preprocess.notes == ("view 1: pca: 20 of 30 components, for the 300 spectra of 20 channels vary in no more",)


# The chain


@pytest.mark.parametrize("spec", CHAINS + MIXTURES, ids=str)
def test_state_dict_round_trip(spec):
    x = counts()
    first = Preprocess(20, spec)
    first.fit(x, counts(seed=9))
    file = io.BytesIO()
    torch.save({"spec": first.spec, "state": first.state_dict()}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    second = Preprocess(20, loaded["spec"])
    second.load_state_dict(loaded["state"])
    assert second.fitted
    assert torch.equal(first(x), second(x))
    assert second.channels_out == first(x).shape[1] == len(second.axis(np.arange(20)))


@pytest.mark.parametrize("spec", CHAINS + MIXTURES, ids=str)
@pytest.mark.parametrize("grad", [False, True])
def test_input_is_never_changed(spec, grad):
    x = counts(6) + torch.rand(6, 20, generator=torch.Generator().manual_seed(2))  # no ties between channels
    preprocess = Preprocess(20, spec)
    preprocess.fit(x, counts(seed=9))
    expected = preprocess(x.to(torch.float64))  # converted, so the steps worked in place on their own copy
    before = x.clone()
    result = preprocess(x.requires_grad_(grad))
    assert torch.equal(x, before)
    torch.testing.assert_close(result, expected)
    assert result.requires_grad == grad


@pytest.mark.parametrize(
    "item",
    [
        {"step": "rebin", "bins": 10},
        {"step": "rebin", "bins": 7, "mode": "mean"},
        {"step": "smooth", "width": 3},
        {"step": "sqrt", "inverse": "poisson"},
        {"step": "snip", "window": 4},
        *[name for name in STEPS if name not in ("rebin", "smooth", "snip", "views")],
    ],
    ids=str,
)
def test_gradients_of_each_step(item):
    step = build_step(item, 20)
    x = (0.5 + 20 * torch.rand(3, 20, dtype=torch.float64)).requires_grad_()
    step.fit(x.detach().float(), 20 * torch.rand(30, 20))
    step.double()
    assert torch.autograd.gradcheck(lambda x: step(x, own=False), x)
    assert torch.autograd.gradcheck(step.inverse, step(x, own=False).detach().requires_grad_())


@pytest.mark.parametrize("n", [1, 3])
def test_input_survives_a_view_as_the_first_step(n):
    x = counts(n).float()
    before = x.clone()
    Preprocess(20, [{"step": "rebin", "bins": 12, "mode": "paper"}, "sqrt"])(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int64, torch.float16, torch.float64])
def test_any_dtype_becomes_float32(dtype):
    x = counts()
    for spec in (["sqrt"], [{"step": "rebin", "bins": 10}], []):
        result = Preprocess(20, spec)(x.to(torch.int32).to(dtype))
        assert result.dtype == torch.float32
        assert torch.equal(result, Preprocess(20, spec)(x))


def test_uint16_sums_beyond_its_range():
    x = torch.full((1, 8), 65535, dtype=torch.uint16)
    assert Preprocess(8, [{"step": "rebin", "bins": 1}])(x).item() == 8 * 65535


@pytest.mark.parametrize("spec", CHAINS + MIXTURES, ids=str)
def test_spectra_do_not_affect_each_other(spec):
    x = counts().float()
    preprocess = Preprocess(20, spec)
    preprocess.fit(x, counts(seed=9))
    expected = preprocess(x)
    x[7, 3] = torch.nan
    result = preprocess(x)
    others = torch.arange(50) != 7
    assert torch.equal(result[others], expected[others])
    assert result[7].isnan().any()
    if spec in CHAINS:
        assert torch.equal(preprocess(x[:1]), expected[:1])
    else:  # a matrix product of one row may be rounded otherwise
        torch.testing.assert_close(preprocess(x[:1]), expected[:1], rtol=1e-4, atol=1e-4)
    assert preprocess(x[:0]).shape == (0, preprocess.channels_out)


def test_fit_leaves_out_spectra_that_are_not_finite():
    x = counts().float()
    clean = Preprocess(20, ["standard"])
    clean.fit(x)
    preprocess = Preprocess(20, ["standard"])
    preprocess.fit(torch.cat([x, torch.full((2, 20), torch.nan), torch.full((1, 20), torch.inf)]))
    assert torch.equal(preprocess(x), clean(x))
    with pytest.raises(UserError, match="got 2 spectra, none finite"):
        preprocess.fit(torch.full((2, 20), torch.nan))


def test_statistics_are_those_after_the_steps_before():
    x = counts()
    both = apply(x, "sqrt", "standard")
    np.testing.assert_allclose(both, apply(np.sqrt(x.double().numpy()), "standard"), rtol=1e-4, atol=1e-5)


def test_fit_again_replaces_the_statistics():
    preprocess = Preprocess(20, ["minmax"])
    preprocess.fit(counts(mean=5.0))
    preprocess.fit(counts(mean=500.0))
    assert preprocess(counts(mean=500.0)).min() == 0
    assert preprocess(counts(mean=500.0)).max() == 1


def test_unfitted_statistics():
    x = counts()
    preprocess = Preprocess(20, ["sqrt", "standard"])
    assert not preprocess.fitted
    for use in (preprocess.forward, preprocess.inverse):
        with pytest.raises(RuntimeError, match=r"call fit\(x\) with a training sample"):
            use(x)
    blank = preprocess.state_dict()
    blank = {name: value.clone() for name, value in blank.items()}
    preprocess.fit(x)
    preprocess(x)
    preprocess.load_state_dict(blank)
    with pytest.raises(RuntimeError, match="statistics that are not set"):
        preprocess(x)


def test_without_statistics_no_fit_is_needed():
    preprocess = Preprocess(20, ["sqrt", "max"])
    assert preprocess.fitted
    preprocess(counts())


# Inverse


@pytest.mark.parametrize(
    "spec",
    [
        ["sqrt"],
        ["log1p"],
        ["anscombe"],
        ["standard"],
        ["minmax"],
        [{"step": "standard", "scale": "channel"}],
        ["clip", "log1p", {"step": "standard", "centre": False}],
        ["anscombe", "minmax", "standard"],
        [],
    ],
    ids=str,
)
def test_inverse_gives_the_counts_back(spec):
    x = counts().float()
    preprocess = Preprocess(20, spec)
    preprocess.fit(x)
    torch.testing.assert_close(preprocess.inverse(preprocess(x)), x, rtol=1e-4, atol=1e-3)
    assert preprocess.invertible_to == "counts"


def test_inverse_leaves_rebinned_counts_rebinned():
    x = counts().float()
    preprocess = Preprocess(20, [{"step": "rebin", "bins": 7}, "sqrt", "standard"])
    preprocess.fit(x)
    rebinned = Preprocess(20, [{"step": "rebin", "bins": 7}])(x)
    torch.testing.assert_close(preprocess.inverse(preprocess(x)), rebinned, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "spec", [["max"], ["sqrt", "max"], ["clip", "sqrt", "area", "standard"], ["sqrt", "sqrt", "unit", "log1p"]], ids=str
)
def test_inverse_after_a_normalisation_is_proportional(spec):
    x = counts().float()
    preprocess = Preprocess(20, spec)
    preprocess.fit(x)
    assert preprocess.invertible_to == "relative intensity"
    ratio = preprocess.inverse(preprocess(x)) / x
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("spec", "quantity", "as_if"),
    [
        (["log1p", "max"], "relative intensity after log1p", ["log1p", "max"]),
        (["log1p", "max", "sqrt"], "relative intensity after log1p", ["log1p", "max"]),
        (["anscombe", "unit", "minmax"], "relative intensity after anscombe", ["anscombe", "unit"]),
        ([{"step": "standard"}, "max"], "relative intensity after standard", ["standard", "max"]),
        (["quantile_tanh"], "relative intensity after quantile_tanh", ["quantile_tanh"]),
        (["sqrt", "quantile_tanh", "standard"], "relative intensity after quantile_tanh", ["sqrt", "quantile_tanh"]),
    ],
)
def test_inverse_stops_where_it_would_be_wrong(spec, quantity, as_if):
    x = counts().float()
    preprocess, expected = Preprocess(20, spec), Preprocess(20, as_if)
    preprocess.fit(x)
    expected.fit(x)
    assert preprocess.invertible_to == quantity
    torch.testing.assert_close(preprocess.inverse(preprocess(x)), expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mean", [1e-4, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 1e4])
def test_the_mean_root_of_counts_is_undone(mean):
    """Against the sum over Poisson's law, and against counts that are drawn."""
    k = np.arange(max(200, int(2 * mean)))
    root = (np.sqrt(k) * stats.poisson.pmf(k, mean)).sum()
    preprocess = Preprocess(1, [{"step": "sqrt", "inverse": "poisson"}])
    assert preprocess.inverse(torch.tensor([[root]])).item() == pytest.approx(mean, rel=0.003)
    drawn = torch.from_numpy(np.random.default_rng(0).poisson(mean, (200_000, 1)))
    found = preprocess.inverse(preprocess(drawn).mean(0, keepdim=True)).item()
    assert found == pytest.approx(mean, abs=0.003 * mean + 5 * (mean / 200_000) ** 0.5)


def test_weak_lines_come_back_from_components_as_strong_as_they_are():
    """Mean scores of two materials on two components, against the mean counts."""
    rng = np.random.default_rng(0)
    means = np.array([[0.1] * 10 + [0.9] * 5 + [9.0] * 5, [0.4] * 10 + [0.2] * 5 + [30.0] * 5])
    labels = rng.integers(0, 2, 4000)
    x = torch.from_numpy(rng.poisson(means[labels]))
    for inverse in ("square", "poisson"):
        preprocess = Preprocess(20, [{"step": "sqrt", "inverse": inverse}, {"step": "pca", "components": 2}])
        preprocess.fit(x)
        assert preprocess.invertible_to == "counts"
        centres = torch.stack([preprocess(x)[labels == material].mean(0) for material in (0, 1)])
        drawn = np.stack([x[labels == material].double().mean(0).numpy() for material in (0, 1)])
        ratio = preprocess.inverse(centres).numpy() / drawn
        if inverse == "poisson":
            np.testing.assert_allclose(ratio, 1, atol=0.15)
        else:
            assert (ratio[means < 0.5] < 0.6).all()


def test_the_mean_root_is_undone_only_where_it_is_one_of_counts():
    step = {"step": "sqrt", "inverse": "poisson"}
    for spec, quantity in (
        (["dose", step, {"step": "pca", "components": 4}, "standard"], "relative intensity"),
        ([step, "max"], "relative intensity after sqrt"),
    ):
        preprocess = Preprocess(20, spec)
        preprocess.fit(counts())
        assert preprocess.invertible_to == quantity
    assert Preprocess(20, ["sqrt", "max"]).invertible_to == "relative intensity"  # untouched by those with another way
    with pytest.raises(UserError, match=r"^sqrt: inverse must be square or poisson; got 'root'$"):
        Preprocess(20, [{"step": "sqrt", "inverse": "root"}])


@pytest.mark.parametrize("step", ["sqrt", "anscombe", {"step": "sqrt", "inverse": "poisson"}])
def test_inverse_of_what_no_square_root_gives(step):
    y = torch.tensor([[-2.0, 0.0, 2.0]])
    result = Preprocess(3, [step]).inverse(y)
    assert result[0, 0] == result[0, 1] < result[0, 2]


def test_inverse_leaves_its_input_alone_and_passes_gradients():
    x = counts().float()
    preprocess = Preprocess(20, ["log1p", "sqrt", "anscombe", "minmax", "standard"])
    preprocess.fit(x)
    y = preprocess(x).requires_grad_()
    before = y.detach().clone()
    preprocess.inverse(y).sum().backward()
    assert torch.equal(y, before)
    assert y.grad.isfinite().all()


# Mistakes


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("sqr", "no preprocessing step 'sqr' .did you mean 'sqrt'"),
        ("normalize", "no preprocessing step 'normalize'; expected one of rebin, smooth, "),
        ({"step": "rebin", "bin": 5}, "rebin: unknown parameter 'bin' .did you mean 'bins'"),
        ({"step": "rebin", "width": 5}, "rebin: unknown parameter 'width'; expected one of bins, mode"),
        ({"step": "max", "axis": 1}, "max: unknown parameter 'axis'; it takes none"),
        ({"step": "max", "channels": 1}, "max: unknown parameter 'channels'"),
        ("rebin", "rebin: the parameter 'bins' is missing; write {step: rebin, bins: ...}"),
        ({"bins": 5}, "is a name, or a mapping such as"),
        (5, "is a name, or a mapping such as .* got 5"),
        (
            {"step": "rebin", "bins": 21},
            "bins must be an integer from 1 to the 20 channels; got 21; at_most: true leaves fewer as they are",
        ),
        ({"step": "rebin", "bins": 2.5, "at_most": True}, "bins must be an integer from 1"),
        ({"step": "rebin", "bins": 0, "at_most": True}, "bins must be an integer from 1"),
        ({"step": "rebin", "bins": 4, "at_most": "yes"}, "at_most must be true or false; got 'yes'"),
        ({"step": "rebin", "bins": 0}, "bins must be an integer from 1"),
        ({"step": "rebin", "bins": 2.5}, "bins must be an integer from 1"),
        ({"step": "rebin", "bins": 5, "mode": "max"}, "mode must be one of sum, mean, paper; got 'max'"),
        ("smooth", "give either width or sigma; got width=None, sigma=None"),
        ({"step": "smooth", "width": 3, "sigma": 1.0}, "give either width or sigma"),
        ("snip", "snip: the parameter 'window' is missing; write {step: snip, window: ...}"),
        ({"step": "snip", "window": 0}, "window must be a whole number of channels, at least 1; got 0"),
        ({"step": "snip", "window": 2.5}, "window must be a whole number of channels, at least 1; got 2.5"),
        ({"step": "snip", "window": 10}, "window 10 reaches over 21 channels; spectra have only 20"),
        ({"step": "smooth", "width": 4}, "width must be an odd number of channels; got 4"),
        ({"step": "smooth", "sigma": 0}, "sigma must be above 0 channels; got 0"),
        ({"step": "smooth", "sigma": 6}, "reaches over 24 channels to each side; spectra have only 20"),
        ({"step": "clip", "min": "zero"}, "min must be a finite number; got 'zero'"),
        ({"step": "standard", "scale": "both"}, "scale must be global or channel; got 'both'"),
        ({"step": "standard", "centre": "yes"}, "centre must be true or false; got 'yes'"),
        ({"step": "log", "quantile": 1}, "log: quantile must be at least 0 and below 1; got 1"),
        ({"step": "pca", "components": 0}, "pca: components must be an integer of at least 1; got 0"),
        ({"step": "pca", "components": 2.5}, "pca: components must be an integer of at least 1; got 2.5"),
        ({"step": "mnf", "components": 0}, "mnf: components must be an integer of at least 1; got 0"),
        ({"step": "mnf", "whiten": 2}, "mnf: whiten must be from 0 to 1; got 2"),
        ("views", "views: the parameter 'chains' is missing"),
        ({"step": "views", "chains": ["sqrt"]}, "views: chains is a list of lists of steps, .* put each chain in brac"),
        ({"step": "views", "chains": []}, "views: expected at least one chain of steps; got none"),
        ({"step": "views", "chains": [["sqr"]]}, "no preprocessing step 'sqr' .did you mean 'sqrt'"),
        ({"step": "quantile_tanh", "regulator": 0}, "regulator must be a number above 0; got 0"),
    ],
)
def test_mistakes_in_a_step(step, message):
    with pytest.raises(UserError, match=message):
        Preprocess(20, [step])


@pytest.mark.parametrize("step", ["sqrt", "log1p", "anscombe"])
def test_fit_tells_that_values_are_too_low(step):
    with pytest.raises(UserError, match=f"step {step} gives NaN .* values down to -7; put clip before"):
        Preprocess(2, [step]).fit(torch.tensor([[1.0, -7.0]]))
    Preprocess(2, ["clip", step]).fit(torch.tensor([[1.0, -7.0]]))


def test_mistakes_in_the_chain():
    with pytest.raises(UserError, match=r"steps are a list; got 'sqrt'"):
        Preprocess(20, "sqrt")
    with pytest.raises(UserError, match="at least 1 channel; got 0"):
        Preprocess(0, [])
    with pytest.raises(ValueError, match=r"shape \(N, 20\); got \(4, 19\)"):
        Preprocess(20, ["max"])(torch.zeros(4, 19))
    with pytest.raises(ValueError, match=r"shape \(N, 20\); got \(20,\)"):
        Preprocess(20, ["max"])(torch.zeros(20))
    with pytest.raises(ValueError, match=r"shape \(N, 10\); got \(4, 20\)"):
        Preprocess(20, [{"step": "rebin", "bins": 10}]).inverse(torch.zeros(4, 20))
    with pytest.raises(ValueError, match=r"expected 20 axis values, .* got shape \(19,\)"):
        Preprocess(20, ["max"]).axis(np.arange(19))


def test_the_spec_is_a_copy_of_plain_values():
    steps = [{"step": "rebin", "bins": 10}, "sqrt"]
    preprocess = Preprocess(20, steps)
    steps[0]["bins"] = 3
    assert preprocess.spec == [{"step": "rebin", "bins": 10}, "sqrt"]


def test_every_step_is_in_the_packages_table():
    import deepspec.preprocess

    assert all(f"`{name}`" in deepspec.preprocess.__doc__ for name in STEPS)
