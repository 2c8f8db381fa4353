import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.errors import UserError
from deepspec.line_maps import map_elements, map_lines
from deepspec.lines import LineOptions
from tests.line_maps.scans import xray_scan

NO_TUBE = LineOptions(tube="none")


@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_overlapping_elements_are_told_apart_on_an_axis_that_is_off_too(offset):
    cube, truth = xray_scan(offset=offset)
    found = map_elements(cube, options=NO_TUBE)
    assert set(truth) <= set(found.names)
    for name, amount in truth.items():
        each = found[name]
        assert each.unit == "counts"
        there = amount > 0
        assert each.values[there].mean() == pytest.approx(amount[there].mean(), rel=0.05), name
        if not there.all():  # Pb La lies on As Ka: where one is alone, the other is not
            assert each.values[~there].mean() < 0.06 * amount.max(), name


def test_errors_are_those_of_counting():
    cube, truth = xray_scan(counts=300, rows=40, columns=40)
    found = map_elements(cube, options=NO_TUBE, signed=True)
    for name, amount in truth.items():
        pull = (found[name].values - amount) / found[name].errors
        assert 0.85 < pull.std() < 1.25, name
        assert abs(pull.mean()) < 0.7, name


def test_rates_have_the_errors_of_the_counts_behind_them():
    counts, _ = xray_scan()
    rates, _ = xray_scan(scale=0.1)
    wanted, found = (map_elements(cube, "Fe", options=NO_TUBE)["Fe K"] for cube in (counts, rates))
    np.testing.assert_allclose(found.values, 0.1 * wanted.values, rtol=0.02, atol=0.5)
    assert np.median(found.errors / wanted.errors) == pytest.approx(0.1, rel=0.05)
    assert found.unit == "as measured"


def test_what_is_asked_for_is_mapped_and_the_rest_is_told_apart_all_the_same():
    cube, truth = xray_scan()
    found = map_elements(cube, ["As-K", "Ni"], options=NO_TUBE)
    assert found.names[0] == "As K"
    assert "Ni K" in found.names
    assert "Pb L" not in found.names
    away = (truth["As K"] == 0) & (truth["Pb L"] > 0)
    assert found["As K"].values[away].mean() < 0.06 * truth["As K"].max()


def test_an_element_that_is_not_there_is_said_to_be_nothing_but_noise():
    cube, _ = xray_scan()
    assert any(note.startswith("Ag L: nothing above the noise") for note in map_elements(cube, "Ag,Fe").notes)


def test_blocks_and_masks_do_not_change_the_result(monkeypatch):
    cube, _ = xray_scan()
    whole = map_elements(cube, "Fe", options=NO_TUBE)["Fe K"].values
    monkeypatch.setattr("deepspec.line_maps.spectra.KEPT_BYTES", 0)
    monkeypatch.setattr("deepspec.line_maps.spectra.PIECE_PIXELS", 13)
    monkeypatch.setattr("deepspec.line_maps.elements.PIECE_PIXELS", 13)
    np.testing.assert_allclose(map_elements(cube, "Fe", options=NO_TUBE)["Fe K"].values, whole, rtol=1e-3, atol=0.05)
    cube.mask[2:4] = False
    masked = map_elements(cube, "Fe", options=NO_TUBE)["Fe K"].values
    assert np.isnan(masked[2:4]).all()
    np.testing.assert_allclose(masked[8:], whole[8:], rtol=0.03, atol=3)


def test_a_falling_axis_is_turned_round():
    cube, _ = xray_scan()
    turned = SpectralCube.from_array(
        cube.read_rows(0, 20)[..., ::-1].copy(), SpectralAxis(cube.axis.values[::-1], "keV")
    )
    np.testing.assert_allclose(
        map_elements(turned, "Fe", options=NO_TUBE)["Fe K"].values,
        map_elements(cube, "Fe", options=NO_TUBE)["Fe K"].values,
        rtol=1e-4,
        atol=1e-2,
    )


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ("Fee", r"element 'Fee': no X-ray lines of it are known \(did you mean 'Fe'\?\)"),
        ("Fe-X", "element 'Fe-X': expected the shell K, L or M, as in Fe-K"),
        ("U-K", r"element 'U': its lines \(U Kα at 98.43 keV\) are not on the axis of 0.5\d to 19.\d\d keV"),
        ("", "elements: expected chemical symbols"),
    ],
)
def test_elements_that_cannot_be_mapped_are_refused(elements, message):
    with pytest.raises(UserError, match=message):
        map_elements(xray_scan(rows=4, columns=4)[0], elements)


def test_an_axis_without_energies_is_refused():
    cube = SpectralCube.from_array(np.ones((3, 4, 50), np.uint16))
    with pytest.raises(UserError, match="element maps need an energy axis, and it has 50 channels, 0 to 49 channel"):
        map_lines(cube)


def test_a_film_of_noise_has_no_elements():
    rng = np.random.default_rng(0)
    cube = SpectralCube.from_array(
        rng.poisson(3, (8, 8, 300)).astype(np.uint16), SpectralAxis.linear(1, 0.05, 300, "keV")
    )
    with pytest.raises(UserError, match="no lines of elements are found in the mean spectra; name the elements"):
        map_elements(cube)


def _pymca(x_HWC, energy_C, fwhm_mn_ev, peaks, tube_kev, last):
    """Maps of PyMca's fast linear fit, by "Fe K"."""
    from PyMca5.PyMcaPhysics.xrf import ClassMcaTheory, FastXRFLinearFit

    theory = ClassMcaTheory.McaTheory()
    config = theory.config
    noise = np.sqrt(max(fwhm_mn_ev**2 - 2.3548**2 * 0.115 * 3.65 * 5895, 40.0**2)) / 1000
    config["detector"].update(
        zero=energy_C[0], gain=energy_C[1] - energy_C[0], noise=noise, fano=0.115, sum=0.0,
        fixedzero=1, fixedgain=1, fixednoise=1, fixedfano=1, fixedsum=1,
    )  # fmt: skip
    config["fit"].update(
        xmin=10, xmax=int(np.searchsorted(energy_C, last)), linearfitflag=1, use_limit=1, stripflag=1, stripalgorithm=1,
        snipwidth=30, energy=[tube_kev], energyweight=[1.0], energyflag=[1], energyscatter=[0], scatterflag=0,
        escapeflag=1, sumflag=0, fitweight=1, continuum=0,
    )  # fmt: skip
    config["peaks"] = peaks
    config["attenuators"] = {"Matrix": [0, "-", 0.0, 0.0, 45.0, 45.0]}
    theory.configure(config)
    fit = FastXRFLinearFit.FastXRFLinearFit()
    fit.setFitConfiguration(config)
    found = fit.fitMultipleSpectra(
        x=np.arange(x_HWC.shape[2], dtype=float), y=x_HWC, weight=1, refit=1, ysum=x_HWC.sum((0, 1))
    )
    names = [name if isinstance(name, str) else " ".join(name) for name in found.labels("parameters")]
    return dict(zip(names, np.asarray(found["parameters"]), strict=True))


def test_strong_lines_of_a_real_scan_are_those_of_pymca(shared_data):
    pytest.importorskip("PyMca5", reason="PyMca5 is not installed")
    path = shared_data / "xfm_micro_xrf" / "ts2_01_sub_export_data.npy"
    with read_cube(path, spatial_shape=(10, 20), axis="0:40.95:keV") as cube:
        x_HWC = cube.read_rows(0, 10).astype(float)
        found = map_elements(cube)
    peaks = {element: ["K"] for element in ("Al", "Si", "S", "K", "Ca", "Ti", "Cr", "Mn", "Fe")}
    peaks |= {"Cu": ["K", "L"], "Rb": ["K", "L"]}
    # The axis as the lines of this scan have it, by `identify`.
    energy_C = -0.00837 + 0.0100187 * np.arange(4096)
    theirs = _pymca(x_HWC, energy_C, 130.1, peaks, 30.0, 15.0)
    for name in ("Si K", "Ca K", "Ti K", "Fe K"):
        ours = found[name].values
        assert ours.mean() == pytest.approx(theirs[name].mean(), rel=0.05), name
        assert np.corrcoef(ours.ravel(), theirs[name].ravel())[0, 1] > 0.995, name
