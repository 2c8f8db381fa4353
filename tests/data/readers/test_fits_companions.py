"""Uncertainties and flags by the names that surveys use, and the right unit among several."""

import numpy as np
import pytest
from astropy.io import fits

from deepspec.data.cube import read_cube
from deepspec.errors import UserError

IMAGE = np.random.default_rng(0).normal(10, 1, (50, 6, 7)).astype(np.float32)
SIGMA = np.random.default_rng(1).uniform(0.5, 2, (50, 6, 7)).astype(np.float32)
CUBE = IMAGE.transpose(1, 2, 0)
WAVE = {"CTYPE3": "WAVE", "CUNIT3": "Angstrom", "CRVAL3": 7300.0, "CRPIX3": 1.0, "CDELT3": 1.25}


def unit(image, name, version=1, **cards):
    return fits.ImageHDU(image, fits.Header({**WAVE, **cards}), name, ver=version)


def write(tmp_path, *units, **primary):
    path = tmp_path / "cube.fits"
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(primary)), *units]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("data", "name", "stored"),
    [
        ("DATA", "STAT", SIGMA**2),  # MUSE
        ("SCI", "ERR", SIGMA),  # JWST, HST
        ("SCI", "VAR", SIGMA**2),  # Gemini
        ("FLUX", "IVAR", 1 / SIGMA**2),  # MaNGA
        ("", "VARIANCE", SIGMA**2),  # SAMI
        ("", "ERROR", SIGMA),  # CALIFA
        ("", "UNCERT", SIGMA),  # KCWI
        ("IFU.1.DATA", "IFU.1.NOISE", SIGMA),  # KMOS
        ("FLUX", "FLUX_ERR", SIGMA),
        ("FLUX", "E_FLUX", SIGMA),
        ("FLUX", "STDDEV", SIGMA),
        ("FLUX", "FLUX_UNC", SIGMA),
        ("SCI2", "ERR2", SIGMA),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_uncertainties_go_with_the_cube(tmp_path, data, name, stored, first):
    units = [unit(IMAGE, data), unit(stored, name)]
    with read_cube(write(tmp_path, *(units if first else units[::-1]))) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
        np.testing.assert_allclose(cube.read_errors(2, 5), SIGMA.transpose(1, 2, 0)[2:5], rtol=1e-5)
    with read_cube(tmp_path / "cube.fits", channels="10:20") as cube:
        np.testing.assert_allclose(cube.read_errors(0, 6), SIGMA.transpose(1, 2, 0)[..., 10:20], rtol=1e-5)


def test_no_uncertainties(tmp_path):
    with read_cube(write(tmp_path, unit(IMAGE, "DATA"))) as cube:
        assert cube.read_errors(0, 1) is None


def test_an_inverse_variance_of_zero_is_no_knowledge(tmp_path):
    inverse = 1 / SIGMA**2
    inverse[3, 2, 1] = 0
    with read_cube(write(tmp_path, unit(IMAGE, "FLUX"), unit(inverse, "IVAR"))) as cube:
        assert np.isinf(cube.read_errors(2, 3)[0, 1, 3])


def test_what_the_header_says_goes_before_names(tmp_path):
    """ESO's HDUCLAS keywords: the names of the units mean nothing."""
    science = unit(IMAGE, "A", HDUCLASS="ESO", HDUCLAS1="IMAGE", HDUCLAS2="DATA", ERRDATA="B", QUALDATA="C")
    error = unit(SIGMA**2, "B", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="MSE", SCIDATA="A")
    flags = np.zeros((50, 6, 7), np.int32)
    flags[:, 2, 3] = 1
    with read_cube(write(tmp_path, error, unit(flags, "C", HDUCLAS2="QUALITY"), science)) as cube:
        np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE)
        np.testing.assert_allclose(cube.read_errors(0, 6), SIGMA.transpose(1, 2, 0), rtol=1e-5)
        assert np.argwhere(~cube.mask).tolist() == [[2, 3]]


@pytest.mark.parametrize("name", ["DQ", "MASK", "QUALITY", "FLAGS", "BADPIX"])
def test_flags(tmp_path, name):
    flags = np.zeros((50, 6, 7), np.int16)
    flags[:25, 1, 1] = 4  # half of the channels
    flags[:24, 1, 2] = 4
    with read_cube(write(tmp_path, unit(IMAGE, "FLUX"), unit(flags, name))) as cube:
        assert np.argwhere(~cube.mask).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("primary", "used", "unused"),
    [({"TELESCOP": "JWST"}, 1, 4), ({"MANGAID": "1-2"}, 2**10, 2**3), ({"TELESCOP": "other"}, 1 | 4, 0)],
)
def test_bits_that_are_remarks_are_no_flags(tmp_path, primary, used, unused):
    flags = np.zeros((50, 6, 7), np.int32)
    flags[:, 1, 1] = used
    flags[:, 1, 2] = unused
    with read_cube(write(tmp_path, unit(IMAGE, "SCI"), unit(flags, "DQ"), **primary)) as cube:
        assert np.argwhere(~cube.mask).tolist() == [[1, 1]]


def test_units_of_one_name(tmp_path, capsys):
    dq = np.zeros((50, 6, 7), np.int16)
    dq[:, 0, 0] = 1
    units = [unit(IMAGE, "SCI", 1), unit(dq * 0, "DQ", 1), unit(IMAGE + 100, "SCI", 2), unit(dq, "DQ", 2)]
    path = write(tmp_path, *units)
    for dataset, offset, masked in ((None, 0, 0), ("1", 0, 0), ("3", 100, 1), ("SCI,2", 100, 1), ("sci", 0, 0)):
        with read_cube(path, dataset=dataset) as cube:
            np.testing.assert_array_equal(cube.read_rows(0, 6), CUBE + np.float32(offset))
            assert np.count_nonzero(~cube.mask) == masked
    assert "took 'SCI' (50, 6, 7) (others: SCI,2); choose with --dataset NAME" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"unit 0 \('PRIMARY'\) holds no image; images: SCI, DQ, SCI,2, DQ,2"):
        read_cube(path, dataset="0")


def test_uncertainties_of_the_same_number(tmp_path):
    """KMOS keeps one pair of units for each of 24 arms, none of which may take the noise of another."""
    units = []
    for arm in (1, 2, 3):
        units.append(unit(arm * IMAGE, f"IFU.{arm}.DATA"))
        if arm < 3:
            units.append(unit(arm * SIGMA, f"IFU.{arm}.NOISE"))
    path = write(tmp_path, *units)
    with read_cube(path, dataset="IFU.2.DATA") as cube:
        np.testing.assert_allclose(cube.read_errors(0, 6), 2 * SIGMA.transpose(1, 2, 0), rtol=1e-6)
    with read_cube(path, dataset="IFU.3.DATA") as cube:
        assert cube.read_errors(0, 6) is None


def test_pixels_that_are_flagged_are_counted(tmp_path, capsys):
    flags = np.zeros((6, 7), np.uint8)
    flags[1, 2:5] = 1
    with read_cube(write(tmp_path, unit(IMAGE, "DATA"), fits.ImageHDU(flags, name="MASK"))) as cube:
        np.testing.assert_array_equal(cube.mask, flags == 0)
    assert "left out 3 of 42 pixels, which 'MASK' flags" in capsys.readouterr().err


def test_flags_on_every_pixel_are_none(tmp_path, capsys):
    """Some programs write 1 for good."""
    path = write(tmp_path, unit(IMAGE, "DATA"), fits.ImageHDU(np.ones((6, 7), np.uint8), name="MASK"))
    with read_cube(path) as cube:
        assert cube.mask.all()
    assert "'MASK' flags 42 of 42 pixels, all there are: it is not used" in capsys.readouterr().err
