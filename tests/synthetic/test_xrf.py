import numpy as np
import pytest
from scipy import stats

from deepspec.errors import UserError
from deepspec.synthetic import load_pigments, xrf_cube
from deepspec.synthetic.photons import sample_counts
from tests.synthetic.test_rgb_clusters import patches

PARCHMENT, RED, BLUE, BLACK = (228, 214, 186), (206, 60, 46), (50, 92, 150), (0, 0, 0)
RGB, TRUTH = patches([PARCHMENT, RED, BLUE, BLACK], side=12, noise=3.0)
NOMINAL = {"fwhm_ev": (140.0, 140.0), "vary_parchment": False}


def test_shapes_and_types():
    scan = xrf_cube(RGB)
    assert scan.counts.shape == (12, 48, 512)
    assert scan.counts.dtype == np.uint16
    assert scan.labels.dtype == np.int16
    assert scan.axis.unit == "keV"
    assert len(scan.axis.values) == 512
    k = scan.labels.max() + 1
    assert scan.weights.shape == (k, len(scan.pigments))
    assert scan.rates.shape == (k, 512)
    np.testing.assert_allclose(scan.weights.sum(axis=1), 1.0)
    assert 130 <= scan.fwhm_ev <= 150
    np.testing.assert_array_equal(scan.rgb, RGB)


def test_same_seed_same_scan_and_another_seed_another():
    first, second, other = xrf_cube(RGB, seed=3), xrf_cube(RGB, seed=3), xrf_cube(RGB, seed=4)
    np.testing.assert_array_equal(first.counts, second.counts)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert not np.array_equal(first.counts, other.counts)
    assert first.fwhm_ev != other.fwhm_ev


def test_each_patch_holds_what_its_colour_says():
    scan = xrf_cube(RGB, palette=2, weighting="softmin", top_k=1, **NOMINAL)
    for patch, pigment in enumerate(["parchment", "vermilion", "azurite", "carbon black"]):
        [label] = np.unique(scan.labels[patch == TRUTH])
        assert scan.pigments[scan.weights[label].argmax()] == pigment


def test_a_black_cluster_gets_counts():
    scan = xrf_cube(RGB)
    totals = scan.counts.sum(axis=2, dtype=int)[TRUTH == 3]
    assert totals.min() > 300


def test_counts_follow_the_declared_rates():
    scan = xrf_cube(RGB, palette=5)
    for k, rate in enumerate(scan.rates):
        pooled = scan.counts[scan.labels == k].sum(axis=0, dtype=np.int64)
        # channels of few counts are joined: chi-square needs five or so in each
        pooled, expected = (
            pooled.reshape(64, 8).sum(axis=1),
            (rate * (scan.labels == k).sum()).reshape(64, 8).sum(axis=1),
        )
        chi2 = ((pooled - expected) ** 2 / expected).sum()
        assert stats.chi2.sf(chi2, 64) > 1e-4


def test_rates_are_mixtures_of_the_table():
    scan = xrf_cube(RGB, palette=3, channels=1024, **NOMINAL)
    table = load_pigments(1024, fwhm_ev=140.0).select(3)
    np.testing.assert_allclose(scan.rates, 400.0 * scan.weights @ table.spectra)


def test_absolute_rates_keep_the_pigments_brightness():
    scan = xrf_cube(
        RGB, palette=["parchment", "vermilion", "azurite", "carbon black"], counts="absolute", top_k=1, **NOMINAL
    )
    table = load_pigments(512, fwhm_ev=140.0)
    totals = scan.rates.sum(axis=1)
    by_name = {scan.pigments[w.argmax()]: total for w, total in zip(scan.weights, totals, strict=True)}
    assert by_name["azurite"] / by_name["parchment"] == pytest.approx(1 / table.rates[table.index("parchment")])
    assert scan.counts.sum(axis=2, dtype=int).mean() == pytest.approx(400.0, rel=0.02)


def test_fixed_counts_are_the_same_in_every_pixel():
    for mode in ("clusters", "pixels"):
        assert (xrf_cube(RGB, counts="fixed", mean_counts=150, mode=mode).counts.sum(axis=2) == 150).all()


def test_pixels_mode_weighs_each_pixel_by_its_own_colour():
    scan = xrf_cube(RGB, mode="pixels", weighting="softmin")
    assert scan.pixel_weights.shape == (12, 48, len(scan.pigments))
    np.testing.assert_allclose(scan.pixel_weights.sum(axis=2), 1.0, rtol=1e-5)
    np.testing.assert_allclose(scan.weights[1], scan.pixel_weights[scan.labels == 1].mean(axis=0), rtol=1e-5)
    assert scan.pixel_weights[scan.labels == 1].std(axis=0).max() > 1e-3
    azurite = scan.counts[TRUTH == 2].sum(axis=0)
    assert abs(scan.axis.values[azurite.argmax()] - 8.04) < 0.08
    assert xrf_cube(RGB).pixel_weights is None


def test_pixels_of_one_colour_get_the_mixture_of_that_colour():
    rgb, _ = patches([PARCHMENT, RED, BLUE], noise=0.0)
    settings = {"k_range": (3, 3), "palette": 4, "weighting": "softmin"}
    by_pixel, by_cluster = xrf_cube(rgb, mode="pixels", **settings), xrf_cube(rgb, **settings)
    np.testing.assert_allclose(by_pixel.weights, by_cluster.weights, atol=1e-6)
    np.testing.assert_allclose(by_pixel.rates, by_cluster.rates, rtol=1e-4)


def test_any_rows_can_be_drawn_again_alone():
    scan = xrf_cube(RGB)
    spectra = scan.rates / scan.rates.sum(axis=1, keepdims=True)
    means = np.diag(scan.rates.sum(axis=1))[scan.labels]
    np.testing.assert_array_equal(sample_counts(means[5:7], spectra, first_row=5), scan.counts[5:7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": "gauss"}, "counts='gauss': expected one of poisson, fixed, absolute"),
        ({"mode": "cluster"}, "mode='cluster': expected one of clusters, pixels"),
        ({"weighting": "hard"}, "weighting='hard': expected one of linear, softmin"),
        ({"mean_counts": 0.0}, "mean_counts=0.0: expected a positive number"),
        ({"mean_counts": 10.5, "counts": "fixed"}, "mean_counts=10.5: .* whole number"),
        ({"mean_counts": 1e7}, "mean_counts=10000000.0: a channel could hold .* lower it"),
        ({"fwhm_ev": (150.0, 130.0)}, "fwhm_ev=.*lower end of the range first"),
        ({"fwhm_ev": (50.0, 60.0)}, "fwhm_ev: .* Fano limit"),
        ({"seed": -1}, "seed=-1: expected 0 or more"),
        ({"channels": 2048}, "512 or 1024"),
        ({"palette": 9}, "palette 9"),
        ({"threshold": 2.0}, "threshold=2.0"),
    ],
)
def test_mistakes_are_explained(change, message):
    with pytest.raises(UserError, match=message):
        xrf_cube(RGB, **change)


def test_an_image_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"expected a uint8 array \(H, W, 3\), got float64 \(12, 48, 3\)"):
        xrf_cube(RGB / 255)
    with pytest.raises(UserError, match=r"got uint8 \(12, 48\)"):
        xrf_cube(RGB[..., 0])
