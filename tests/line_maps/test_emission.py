import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.errors import UserError
from deepspec.line_maps import map_emission
from deepspec.line_maps.emission import fit_gaussians
from tests.line_maps.scans import gas_cube, xray_scan


def test_flux_velocity_and_dispersion_are_those_that_were_put_in():
    cube, (flux, velocity, dispersion) = gas_cube()
    found = map_emission(cube, "Ha", redshift=(0.005, 0.015))
    z = float(found.origin["redshift"])
    systemic = 299792.458 * (1.01 / (1 + z) - 1)
    there = flux > 0
    pull = (found["Hα flux"].values - flux)[there] / found["Hα flux"].errors[there]
    assert abs(found["Hα flux"].values[there].mean() / flux[there].mean() - 1) < 0.03
    assert pull.std() < 1.6
    sure = np.isfinite(found["Hα velocity"].values)
    assert sure[there].mean() > 0.97
    assert sure[~there].mean() < 0.05
    sure &= there
    for name, wanted in (("velocity", velocity + systemic), ("dispersion", dispersion)):
        each = found[f"Hα {name}"]
        assert each.unit == "km/s"
        assert np.median(np.abs(each.values - wanted)[sure]) < 6, name
        assert 0.6 < ((each.values - wanted)[sure] / each.errors[sure]).std() < 1.8, name


def test_lines_are_found_and_named():
    found = map_emission(gas_cube()[0], redshift=(0.0, 0.02))
    assert {"Hα flux", "[NII]6583 velocity", "[SII]6716 dispersion"} <= set(found.names)
    assert found.maps[0].unit == "as measured x angstrom"
    assert float(found.origin["redshift"]) == pytest.approx(0.01, abs=3e-4)


def test_the_errors_of_the_file_are_used():
    cube, _ = gas_cube()
    cube.errors = np.full(cube.shape, 4.0, np.float32)
    own = map_emission(gas_cube()[0], "Ha", redshift=(0.01, 0.01))["Hα flux"].errors
    stated = map_emission(cube, "Ha", redshift=(0.01, 0.01))["Hα flux"].errors
    assert np.median(stated / own) == pytest.approx(4, rel=0.15)


def test_a_gaussian_without_noise_is_found_exactly():
    offset = np.linspace(-500, 500, 21)
    centre, width = np.array([-80.0, 0.0, 211.0]), np.array([60.0, 120.0, 90.0])
    net = 3 * np.exp(-0.5 * ((offset - centre[:, None]) / width[:, None]) ** 2)
    found = fit_gaussians(net, np.full_like(net, 0.01), offset, net.sum(1), 50.0)
    np.testing.assert_allclose(found[0], centre, atol=1e-2)
    np.testing.assert_allclose(found[1], width, rtol=1e-3)


@pytest.mark.parametrize(
    ("cube", "keywords", "message"),
    [
        (gas_cube()[0], {"lines": "Hq"}, "line 'Hq': no such emission line is known"),
        (gas_cube()[0], {"lines": "Hb"}, r"line 'Hβ': at 4861.\d angstrom, with its window, it is not on the axis"),
        (gas_cube()[0], {"width": -1.0}, "width: expected the half-width of a line's window in km/s, above 0, got -1"),
        (gas_cube(flux=0)[0], {}, "no emission lines are found in the mean spectra; name them with --lines"),
        (xray_scan(rows=3, columns=3)[0], {}, "maps of emission lines need wavelengths, and it has 640 channels"),
        (
            SpectralCube.from_array(np.ones((2, 2, 9)), SpectralAxis.linear(400, 40, 9, "1/cm")),
            {},
            "maps of emission lines need wavelengths, and it has 9 channels, 400 to 720 1/cm",
        ),
        (
            SpectralCube.from_array(np.ones((2, 2, 9)), SpectralAxis.linear(400, 40, 9, "nm")),
            {},
            "its channels are too wide for emission lines",
        ),
    ],
)
def test_what_cannot_be_mapped_is_refused(cube, keywords, message):
    with pytest.raises(UserError, match=message):
        map_emission(cube, **keywords)
