import numpy as np
import pytest
from scipy.ndimage import label as number_regions

from deepspec.errors import UserError
from deepspec.synthetic import Observation, nebular_cube
from deepspec.synthetic.nebula_image import draw_nebula

RGB, LABELS = draw_nebula(0, 40)
COARSE = Observation(bins=256)


@pytest.fixture(scope="module")
def cube():
    return nebular_cube(RGB, labels=LABELS, observation=COARSE, seed=3)


def test_pixels_are_bright_or_faint_copies_of_their_class(cube):
    assert cube.data.shape == cube.clean.shape == (40, 40, 256)
    assert cube.data.dtype == cube.clean.dtype == np.float32
    np.testing.assert_array_equal(cube.labels, LABELS)
    np.testing.assert_array_equal(cube.source, LABELS)
    np.testing.assert_allclose(cube.clean, cube.amplitude[..., None] * cube.spectra[LABELS], rtol=1e-6)
    assert not cube.clean[LABELS == 0].any()
    assert np.log(cube.amplitude).std() == pytest.approx(0.3, rel=0.1)
    np.testing.assert_array_equal(cube.weights, np.eye(4))
    assert cube.axis.unit == "angstrom"


def test_noise_is_the_same_everywhere(cube):
    noise = (cube.data - cube.clean) / cube.noise_sd
    assert noise.std() == pytest.approx(1, abs=0.01)
    for label in range(4):
        assert noise[label == LABELS].std() == pytest.approx(1, abs=0.05)


def test_snr_is_that_of_h_alpha():
    pixels = Observation(binning="pixels", velocity=(0, 0), reddening=(0, 0))
    sharp = nebular_cube(RGB[:16, :16], labels=LABELS[:16, :16], observation=pixels, snr=20, amplitude=0)
    peaks = sharp.spectra[1:, np.argmin(np.abs(sharp.axis.values - 6562.8))]
    assert peaks.mean() / sharp.noise_sd[np.argmin(np.abs(sharp.axis.values - 6500))] == pytest.approx(20, rel=0.1)


def test_the_classes_differ_in_the_lines_that_define_them(cube):
    def flux(label, wavelength):
        return cube.spectra[label, np.abs(cube.axis.values - wavelength) < 30].sum()

    oiii, sii, ha = (np.array([flux(label, w) for label in (1, 2, 3)]) for w in (5003, 6720, 6560))
    assert (oiii / ha).argmax() == 1
    assert (sii / ha).argmax() == 2


def test_the_seed_is_the_cube(cube):
    np.testing.assert_array_equal(nebular_cube(RGB, labels=LABELS, observation=COARSE, seed=3).data, cube.data)
    assert not np.array_equal(nebular_cube(RGB, labels=LABELS, observation=COARSE, seed=4).data, cube.data)


def test_labels_come_from_the_colours_if_they_are_not_given(cube):
    np.testing.assert_array_equal(nebular_cube(RGB, observation=COARSE, seed=3).data, cube.data)


def test_each_region_has_a_nebula_of_its_own(cube):
    varied = nebular_cube(RGB, labels=LABELS, variety="region", observation=COARSE, seed=3)
    for label in (1, 2, 3):
        regions, count = number_regions(label == LABELS, structure=np.ones((3, 3)))
        sources = [np.unique(varied.source[regions == r]) for r in range(1, count + 1)]
        assert all(len(s) == 1 for s in sources)
        assert len(set(np.concatenate(sources))) == count
        assert (varied.weights[np.concatenate(sources), label] == 1).all()
    assert len(np.unique(varied.spectra, axis=0)) == len(varied.spectra)
    assert not varied.spectra[0].any()
    np.testing.assert_allclose(varied.noise_sd, cube.noise_sd)


def test_a_low_threshold_mixes_classes_as_ganx_does():
    mixed = nebular_cube(RGB, labels=LABELS, threshold=0.2, k_range=(4, 4), observation=COARSE)
    red = mixed.weights[mixed.source[LABELS == 1][0]]
    assert red[1] == red.max()
    assert red[3] > 0.1  # shock in what should be an HII region
    np.testing.assert_allclose(mixed.weights.sum(axis=1), 1)
    pure = nebular_cube(RGB, labels=LABELS, threshold=0.65, k_range=(4, 4), observation=COARSE)
    assert sorted(map(tuple, pure.weights)) == sorted(map(tuple, np.eye(4)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"rgb": RGB[..., 0]}, "expected a uint8 array"), ({"labels": LABELS[:3]}, "expected integers"),
     ({"labels": LABELS + 2}, "labels 2 to 5: expected 0 to 3, background"), ({"snr": 0}, "snr=0"),
     ({"variety": "pixel"}, "expected one of class, region"), ({"amplitude": -1}, "amplitude=-1"),
     ({"variety": "region", "threshold": 0.2}, "leave threshold out"), ({"seed": -1}, "seed=-1"),
     ({"threshold": 1.0}, "threshold=1.0")],
)  # fmt: skip
def test_mistakes(settings, message):
    with pytest.raises(UserError, match=message):
        nebular_cube(**{"rgb": RGB, "observation": COARSE, **settings})
