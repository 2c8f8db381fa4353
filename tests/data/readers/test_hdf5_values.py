"""Attributes that say what stored numbers stand for, against the conventions' own formulas."""

import h5py
import numpy as np
import pytest

from deepspec.data.cube import read_cube

RAW = np.random.default_rng(0).integers(-3000, 3000, (6, 5, 70)).astype(np.int16)
OPTIONS = {"spectral_dim": 2, "channels": "0:70"}


@pytest.fixture
def read(tmp_path):
    def write_and_read(raw, attributes=(), more=()):
        with h5py.File(tmp_path / "a.nc", "w") as file:
            file["rad"] = raw
            file["rad"].attrs.update(dict(attributes))
            for name, value in dict(more).items():
                file[name] = value
        with read_cube(tmp_path / "a.nc", dataset="rad", **OPTIONS) as cube:
            parts = [cube.read_rows(0, 2), cube.read_rows(2, 6)]
            assert parts[0].dtype == cube.dtype
            return np.concatenate(parts)

    return write_and_read


def test_numbers_without_attributes_stay_integers(read):
    found = read(RAW, {"long_name": "radiance", "scale_factor": 1.0, "add_offset": 0.0})
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, RAW)


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.5), (2.0, 0.0), (1.0, -7.0), (np.array([0.25], "f4"), 1)])
def test_scale_and_offset(read, kind, scale, offset):
    raw = np.abs(RAW % 200).astype(kind)
    found = read(raw, {"scale_factor": scale, "add_offset": offset})
    assert found.dtype == (np.float64 if kind in ("i4", "f8") else np.float32)
    np.testing.assert_allclose(found, raw * float(np.ravel(scale)[0]) + offset, rtol=1e-6)


@pytest.mark.parametrize("name", ["_FillValue", "missing_value", "Data_Ignore_Value", "NoData"])
@pytest.mark.parametrize("form", [float, lambda v: np.array([v], "f4"), str])
def test_fill_values(read, name, form):
    raw = RAW.astype("f4")
    raw[:2] = -9999
    found = read(raw, {name: form(-9999)})
    assert np.isnan(found[:2]).all()
    np.testing.assert_array_equal(found[2:], raw[2:])


def test_a_fill_value_in_the_type_of_the_array(read):
    raw = RAW.astype("f4")
    raw[0, 0] = np.float32(-0.1)
    found = read(raw, {"_FillValue": "-0.1"})
    assert np.argwhere(np.isnan(found).all(axis=2)).tolist() == [[0, 0]]


def test_fill_values_are_compared_before_scaling(read):
    raw = RAW.copy()
    raw[1, 1] = -32768
    found = read(
        raw, {"_FillValue": np.int16(-32768), "missing_value": np.array([-32767, 5], "i2"), "scale_factor": 0.01}
    )
    gone = np.isin(raw, [-32768, -32767, 5])
    np.testing.assert_allclose(found, np.where(gone, np.nan, raw * 0.01), rtol=1e-6)


@pytest.mark.parametrize("value", [-9999, 0.5, np.nan, 1e20])
def test_a_fill_value_that_the_type_cannot_hold(read, value):
    raw = np.abs(RAW).astype(np.uint8)
    np.testing.assert_array_equal(read(raw, {"_FillValue": value}), raw)


@pytest.mark.parametrize(
    "attributes", [{"valid_range": [-100, 200]}, {"valid_min": -100, "valid_max": 200}, {"valid_max": 200}]
)
def test_valid_range(read, attributes):
    low = -100 if "valid_max" not in attributes or "valid_min" in attributes else -np.inf
    expected = np.where((low > RAW) | (RAW > 200), np.nan, RAW)
    np.testing.assert_array_equal(read(RAW, attributes), expected)


def test_signed_bytes_that_are_none(read):
    raw = np.arange(-128, 128).repeat(10)[: 6 * 5 * 70].astype(np.int8)
    raw = np.resize(raw, (6, 5, 70))
    found = read(raw, {"_Unsigned": "true", "_FillValue": np.int8(-1), "scale_factor": 0.5})
    unsigned = raw.view(np.uint8).astype(float)
    np.testing.assert_allclose(found, np.where(unsigned == 255, np.nan, unsigned * 0.5))


def test_neon_divides_by_its_scale_factor(read):
    raw = RAW.copy()
    raw[0] = -9999
    found = read(raw, {"Scale_Factor": 10000.0, "Data_Ignore_Value": -9999.0})
    np.testing.assert_allclose(found, np.where(raw == -9999, np.nan, raw / 10000), rtol=1e-6)


def test_nexus_factors_beside_the_array(read):
    np.testing.assert_allclose(read(RAW, (), {"rad_scaling_factor": 0.5, "rad_offset": 2.0}), RAW * 0.5 + 2)


def test_a_factor_of_zero_is_said(read, capsys):
    np.testing.assert_array_equal(read(RAW, {"scale_factor": 0.0}), RAW)
    assert "stored values are used" in capsys.readouterr().err


def test_errors_beside_the_array(tmp_path):
    sigma = np.sqrt(np.abs(RAW) + 1.0)
    for name in ("errors", "rad_errors", "uncertainties", "sigma"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["rad"], file[name] = RAW, 4 * sigma
            file[name].attrs["scale_factor"] = 0.25  # errors have a scale of their own
            if name == "sigma":
                file["rad"].attrs["uncertainties"] = name
        with read_cube(tmp_path / f"{name}.h5", dataset="rad", spectral_dim=2) as cube:
            np.testing.assert_allclose(cube.read_errors(1, 4), sigma[1:4])


@pytest.mark.parametrize("dims", [(0, 1, 2), (2, 0, 1)])
def test_a_scale_and_an_offset_for_each_channel(tmp_path, dims, capsys):
    """MODIS and others keep lists; the first number of a list is not that of all channels."""
    scales, offsets = np.linspace(0.01, 0.7, 70), np.linspace(-5, 5, 70)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rad"] = RAW.transpose(dims)
        file["rad"].attrs.update(scale_factor=scales, add_offset=offsets, _FillValue=RAW[1, 2, 3])
    with read_cube(tmp_path / "a.h5", spectral_dim=dims.index(2), channels="all") as cube:
        expected = np.where(RAW[1, 2, 3] == RAW, np.nan, RAW * scales + offsets)
        np.testing.assert_allclose(cube.read_rows(0, 6), expected, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(cube.read_rows(1, 2), expected[1:2], rtol=1e-5, atol=1e-4)
    assert "scales and offsets of their channels" in capsys.readouterr().err


@pytest.mark.parametrize("scales", [np.ones(69) * 2, np.zeros(70), np.full(70, np.nan)])
def test_scales_that_do_not_fit_are_said(read, scales, capsys):
    np.testing.assert_array_equal(read(RAW, {"scale_factor": scales}), RAW)
    assert "do not fit its shape (6, 5, 70): stored values are used" in capsys.readouterr().err


def test_real_numbers_that_netcdf_never_wrote(tmp_path):
    raw = RAW.astype(np.float32)
    raw[2, 3] = 9.969209968386869e36
    for name, by_netcdf in (("a.nc", True), ("b.h5", False)):
        with h5py.File(tmp_path / name, "w") as file:
            file["rad"] = raw
            if by_netcdf:
                file.attrs["_NCProperties"] = "version=2,netcdf=4.9.2,hdf5=1.14.2"
        with read_cube(tmp_path / name, spectral_dim=2, channels="all") as cube:
            assert np.isnan(cube.read_rows(0, 6)[2, 3]).all() == by_netcdf
            np.testing.assert_array_equal(cube.read_rows(0, 2), raw[:2])
