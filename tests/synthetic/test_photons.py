import numpy as np
import pytest
from scipy import stats

from deepspec.synthetic.photons import PhotonSampler, sample_counts
from deepspec.synthetic.pigments import load_pigments

SPECTRA = load_pigments(512).select(["azurite", "parchment", "lead-tin yellow"]).spectra
# Thresholds leave a chance of 1e-4 of failure for a right sampler; the seed makes the outcome fixed.
ALPHA = 1e-4


def scan(rows, columns, *, mean=400.0, fixed=None, seed=0):
    """Each column has one of the three sources."""
    means = np.zeros((rows, columns, 3))
    means[:, np.arange(columns), np.arange(columns) % 3] = mean
    return sample_counts(means, SPECTRA, fixed=fixed, seed=seed)


@pytest.mark.parametrize("fixed", [None, 400])
@pytest.mark.parametrize("source", range(3))
def test_pooled_counts_follow_the_spectrum(fixed, source):
    pooled = scan(60, 60, fixed=fixed)[:, source::3].sum(axis=(0, 1), dtype=np.int64)
    assert stats.chisquare(pooled, SPECTRA[source] * pooled.sum()).pvalue > ALPHA


class GivenBits:
    """A generator whose random integers are known: the first and the last 16 bits of each photon."""

    def __init__(self, bits):
        self.high, self.low = bits >> 16, bits & 0xFFFF

    def integers(self, low, high, size, dtype=np.int64):
        if dtype == np.uint16:
            return self.high.astype(np.uint16)
        return self.low[self.unsure]


def test_every_photon_gets_the_channel_of_the_inverse_distribution():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=(3, 700))
    p[0, 350] = 1e-7  # much narrower than a table entry
    p[1, :300] = 0.0
    p[2] = 0.0
    p[2, :4] = np.diff([0, 2**16 - 1, 2**17, 2**20, 2**32])  # boundaries on the ends of table entries
    upper = np.round(np.cumsum(p, axis=1) / p.sum(axis=1, keepdims=True) * 2**32).astype(np.int64)
    for source in range(3):
        # both sides of each boundary, and anything
        bits = np.concatenate([upper[source][:-1] - 1, upper[source][:-1], rng.integers(0, 2**32, 5000)])
        bits = bits[(bits >= 0) & (bits < 2**32)]
        sampler = PhotonSampler(p)
        given = GivenBits(bits)
        given.unsure = sampler._table[(source << 16) + given.high] < 0
        totals = np.zeros((bits.size, 3), dtype=int)
        totals[:, source] = 1
        found = sampler.counts(totals, given).argmax(axis=1)
        np.testing.assert_array_equal(found, np.searchsorted(upper[source], bits, side="right"))


def test_totals_of_fixed_scans_are_exact():
    assert (scan(9, 12, fixed=400).sum(axis=2, dtype=int) == 400).all()


def test_totals_of_poisson_scans_have_equal_mean_and_variance():
    totals = scan(60, 60).sum(axis=2, dtype=int).ravel()
    assert totals.mean() == pytest.approx(400.0, abs=5 * 20 / 60)
    # the variance of n Poisson totals has a relative error of sqrt(2 / n)
    assert totals.var() == pytest.approx(400.0, rel=5 * np.sqrt(2 / 3600))


@pytest.mark.parametrize(("fixed", "law"), [(None, lambda p: 1.0), (400, lambda p: 1.0 - p)])
def test_variance_of_a_channel(fixed, law):
    counts = scan(90, 90, fixed=fixed)[:, 0::3].reshape(-1, 512).astype(float)
    channel = SPECTRA[0].argmax()
    ratio = counts[:, channel].var() / counts[:, channel].mean()
    p = SPECTRA[0, channel]
    assert p > 0.2  # so that the two laws differ by more than the tolerance
    assert ratio == pytest.approx(law(p), rel=5 * np.sqrt(2 / len(counts)))


def test_channels_of_poisson_scans_are_independent():
    counts = scan(90, 90)[:, 0::3].reshape(-1, 512).astype(float)
    first, second = np.argsort(SPECTRA[0])[-2:]
    assert abs(np.corrcoef(counts[:, first], counts[:, second])[0, 1]) < 5 / np.sqrt(len(counts))


@pytest.mark.parametrize("fixed", [None, 250])
def test_mixtures_of_sources_in_one_pixel(fixed):
    shares = np.array([0.5, 0.2, 0.3])
    counts = sample_counts(np.tile(250.0 * shares, (40, 40, 1)), SPECTRA, fixed=fixed)
    pooled = counts.sum(axis=(0, 1), dtype=np.int64)
    assert stats.chisquare(pooled, shares @ SPECTRA * pooled.sum()).pvalue > ALPHA
    if fixed:
        assert (counts.sum(axis=2) == fixed).all()


def test_an_image_drawn_in_parts_is_the_image_drawn_at_once():
    means = np.random.default_rng(0).uniform(0, 200, size=(23, 5, 3))
    whole = sample_counts(means, SPECTRA, seed=7)
    for step in (1, 4, 23):
        parts = [sample_counts(means[row : row + step], SPECTRA, seed=7, first_row=row) for row in range(0, 23, step)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("fixed", [None, 20_000])
def test_bright_pixels_follow_the_same_law(fixed):
    mean = 20_000.0  # forty photons per channel: drawn channel by channel
    counts = scan(12, 12, mean=mean, fixed=fixed)
    totals = counts.sum(axis=2, dtype=int)
    for source in range(3):
        pooled = counts[:, source::3].sum(axis=(0, 1), dtype=np.int64)
        assert stats.chisquare(pooled, SPECTRA[source] * pooled.sum()).pvalue > ALPHA
    if fixed:
        assert (totals == fixed).all()
    else:
        assert totals.var() == pytest.approx(mean, rel=5 * np.sqrt(2 / totals.size))


def test_rows_and_seeds_differ():
    counts = scan(3, 30)
    assert not np.array_equal(counts[0], counts[1])
    assert not np.array_equal(counts, scan(3, 30, seed=1))


def test_pixels_without_photons_stay_empty():
    means = np.zeros((2, 3, 3))
    means[1, 1, 0] = 50.0
    counts = sample_counts(means, SPECTRA)
    assert counts[1, 1].sum() > 0
    assert counts.sum() == counts[1, 1].sum()


def test_counts_of_a_certain_channel():
    sampler = PhotonSampler(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]))
    found = sampler.counts(np.array([[4, 0], [1, 2]]), np.random.default_rng(0))
    np.testing.assert_array_equal(found, [[0, 4, 0], [0, 1, 2]])


@pytest.mark.parametrize("bad", [[[0.0, 0.0]], [[1.0, -0.1]], [[1.0, np.nan]]])
def test_impossible_spectra_are_refused(bad):
    with pytest.raises(ValueError, match="finite and not negative, each with a positive sum"):
        PhotonSampler(np.array(bad))
    with pytest.raises(ValueError, match="at most 32767 channels, got 40000"):
        PhotonSampler(np.ones((1, 40_000)))
