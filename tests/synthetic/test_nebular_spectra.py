import numpy as np
import pytest

from deepspec.errors import UserError
from deepspec.synthetic import NebularSpectra, Observation
from deepspec.synthetic.nebular_lines import features, nebular_lines
from deepspec.synthetic.nebular_spectra import BLOCK_ROWS, LIBRARY, draw_library, extinction, library_range


def test_the_same_seed_gives_the_same_spectra_and_another_one_others():
    one, again, other = (NebularSpectra(1200, "val", seed=seed) for seed in (3, 3, 4))
    for number in (2, 0):  # in any order
        np.testing.assert_array_equal(one.block(number).spectra, again.block(number).spectra)
    assert not np.array_equal(one.block(0).spectra, other.block(0).spectra)
    assert not np.array_equal(one.block(0).spectra, NebularSpectra(1200, "test", seed=3).block(0).spectra)


def test_a_longer_set_begins_with_the_shorter_one():
    short, long = NebularSpectra(700, seed=1), NebularSpectra(5000, seed=1)
    np.testing.assert_array_equal(short.block(0).spectra, long.block(0).spectra)


def test_blocks_are_all_rows_in_order():
    blocks = list(NebularSpectra(BLOCK_ROWS + 7).blocks())
    np.testing.assert_array_equal(np.concatenate([block.rows for block in blocks]), np.arange(BLOCK_ROWS + 7))
    assert [block.spectra.shape for block in blocks] == [(BLOCK_ROWS, 1024), (7, 1024)]
    assert blocks[0].spectra.dtype == np.float32
    assert list(NebularSpectra(0).blocks()) == []


def test_mixtures():
    spectra = NebularSpectra(20_000, "val", Observation(instances=(5, 10)), seed=2)
    sizes = np.diff(spectra.first_row)
    assert spectra.first_row[-1] == 20_000
    assert set(sizes[:-1]) == set(range(5, 11))
    low, high = library_range("val")
    assert (low, high) == (4000, 5200)
    assert spectra.models.min() >= low
    assert spectra.models.max() < high
    assert (spectra.models[:, 0] != spectra.models[:, 1]).all()
    assert spectra.share.mean() == pytest.approx(0.5, abs=0.02)
    labels = spectra.mixture_labels(np.arange(len(sizes)))
    assert np.bincount(labels, minlength=4)[1:] == pytest.approx(len(sizes) / 3, abs=1)


def test_splits_share_no_model():
    ranges = [range(*library_range(split)) for split in LIBRARY]
    assert sum(len(r) for r in ranges) == 6000 == len(set().union(*ranges))
    assert all(models.flux_NF.shape == (6000, len(features())) for models in draw_library(0).values())


def test_a_mixture_is_two_models_of_one_class():
    spectra = NebularSpectra(500, seed=5)
    mixture = np.array([0, 4, 8])
    for m, flux in zip(mixture, spectra.mixture_flux(mixture), strict=True):
        own = spectra.library[1 + m % 3].flux_NF[spectra.models[m]]
        np.testing.assert_allclose(flux, spectra.share[m] * own[0] + (1 - spectra.share[m]) * own[1])


def test_noise_is_as_strong_as_the_ratio_says():
    spectra = NebularSpectra(2 * BLOCK_ROWS, seed=1)
    for noisy, clean in zip(spectra.blocks(), spectra.blocks(noise=False), strict=True):
        np.testing.assert_array_equal(noisy.drawn["snr"], clean.drawn["snr"])
        sigma = noisy.height / noisy.drawn["snr"]
        standard = (noisy.spectra - clean.spectra) / sigma[:, None]
        np.testing.assert_allclose(
            standard.std(axis=1) / np.sqrt(np.mean(spectra.channels.noise_sd() ** 2)), 1, rtol=0.2
        )
        assert np.mean(standard**2 / spectra.channels.noise_sd() ** 2) == pytest.approx(1, abs=0.01)
        assert np.log(noisy.drawn["snr"]).mean() == pytest.approx(np.log([5, 200]).mean(), rel=0.05)


def test_height_is_that_of_h_alpha_in_pixels():
    still = Observation(binning="pixels", velocity=(0, 0))
    block = NebularSpectra(64, observation=still).block(0, noise=False)
    centre = np.argmin(np.abs(NebularSpectra(1, observation=still).channels.axis.values - 6562.8))
    np.testing.assert_allclose(
        block.spectra[:, centre - 1 : centre + 2].max(axis=1), block.height, rtol=0.09
    )  # a pixel's mean is less than the peak


def test_dust_dims_each_line_by_the_law():
    still = Observation(velocity=(0, 0), reddening=(0.2, 0.2), binning="pixels")
    clear = Observation(velocity=(0, 0), reddening=(0, 0), binning="pixels")
    dusty, bright = (NebularSpectra(100, observation=o).block(0, noise=False).spectra for o in (still, clear))
    axis = NebularSpectra(1, observation=clear).channels.axis.values
    hb = np.abs(axis - 4861.33) < 8
    np.testing.assert_allclose(
        dusty[:, hb].sum(axis=1) / bright[:, hb].sum(axis=1), 10 ** (-0.4 * 0.2 * 3.61), rtol=0.003
    )


def test_ratios_of_lines_in_the_spectra_are_those_of_the_models():
    seen = Observation(velocity=(0, 0), binning="pixels")
    spectra = NebularSpectra(90, observation=seen)
    block = spectra.block(0, noise=False)
    axis = spectra.channels.axis.values
    flux = dict(zip(features(), spectra.mixture_flux(block.mixture).T, strict=True))
    dust = 10 ** (-0.4 * np.outer(block.drawn["reddening"], extinction(np.array([5006.84, 9068.6]))))
    near = np.abs(axis[None] - np.array([[5006.84], [9068.6]])) < 6  # He I 5016 begins beyond
    calm = block.labels < 3
    np.testing.assert_allclose(block.spectra[calm] @ near[0], (flux["[OIII]5007"] * dust[:, 0])[calm], rtol=0.03)
    np.testing.assert_allclose(block.spectra[calm] @ near[1], (flux["[SIII]9069"] * dust[:, 1])[calm], rtol=0.03)


def test_what_is_drawn_keeps_to_its_bounds():
    blocks = list(NebularSpectra(6000, seed=1).blocks(noise=False))
    labels = np.concatenate([b.labels for b in blocks])
    drawn = {name: np.concatenate([b.drawn[name] for b in blocks]) for name in blocks[0].drawn}
    shock = labels == 3
    assert 8 <= drawn["sigma_v"][~shock].min() <= drawn["sigma_v"][~shock].max() <= 25
    assert 20 <= drawn["sigma_v"][shock].min() <= drawn["sigma_v"][shock].max() <= 120
    assert np.median(drawn["sigma_v"][shock]) == pytest.approx(40, rel=0.05)
    assert drawn["velocity"].mean() == pytest.approx(-179, abs=1.5)
    assert drawn["velocity"].std() == pytest.approx(25, rel=0.05)
    assert 0 <= drawn["reddening"].min() < 0.01 < 0.29 < drawn["reddening"].max() <= 0.3
    assert not drawn["continuum"].any()


def test_continuum_lifts_every_channel():
    with_it, without = (NebularSpectra(64, observation=Observation(continuum=c)).block(0, noise=False)
                        for c in ((0.02, 0.02), (0, 0)))  # fmt: skip
    lift = (with_it.spectra - without.spectra) / with_it.height[:, None]
    np.testing.assert_allclose(lift, 0.02 * 4.4934 / 1.25, rtol=1e-3)


def test_lines_of_each_class_stand_out_where_they_should():
    spectra = NebularSpectra(1500, observation=Observation(velocity=(0, 0), snr=(200, 200)))
    axis = spectra.channels.axis.values
    blocks = list(spectra.blocks())
    labels, x = np.concatenate([b.labels for b in blocks]), np.concatenate([b.spectra for b in blocks])
    rest = {line.name: line.wavelength for line in nebular_lines()}
    for label, name in ((1, "Ha"), (2, "[OIII]5007"), (3, "Ha")):
        brightest = axis[x[labels == label].mean(axis=0).argmax()]
        assert brightest == pytest.approx(rest[name], abs=4.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"snr": (0, 5)}, "snr=0, 5: expected 1e-06 <= lower"), ({"reddening": (0.3, 0.1)}, "reddening=0.3, 0.1"),
     ({"instances": (0, 5)}, "instances=0, 5: expected 1 <="), ({"velocity": (0, -5)}, "velocity=0, -5"),
     ({"velocity": (9000, 5)}, "within 3000 km/s"), ({"continuum": (-1, 0)}, "continuum=-1, 0")],
)  # fmt: skip
def test_impossible_observations(settings, message):
    with pytest.raises(UserError, match=message):
        Observation(**settings)


def test_negative_numbers():
    with pytest.raises(UserError, match="rows=-1, seed=0"):
        NebularSpectra(-1)
