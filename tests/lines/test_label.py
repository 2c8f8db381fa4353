import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube
from deepspec.lines.emission import emission_lines
from deepspec.lines.label import label_clusters, label_peaks
from deepspec.lines.xray_lines import ELEMENTS, families
from deepspec.synthetic import Observation, load_pigments, nebular_cube
from deepspec.synthetic.nebula_image import draw_nebula
from deepspec.synthetic.nebular_lines import nebular_lines

TABLE = load_pigments()


def pigment(name, counts=2e6, mean_of=2000):
    """Mean spectrum of many pixels of a pigment."""
    rates = TABLE.spectra[TABLE.names.index(name)] * counts
    return np.random.default_rng(0).poisson(rates) / mean_of


def strongest(labelled, n):
    return sorted(labelled, key=lambda found: -found.peak.height)[:n]


def candidate(found, label):
    return next(c for c in found.candidates if c.label == label)


def at(labelled, position, tolerance=0.06):
    near = [found for found in labelled if abs(found.peak.position - position) < tolerance]
    assert near, f"no peak at {position}"
    return min(near, key=lambda found: abs(found.peak.position - position))


@pytest.mark.parametrize("element", ["Si", "S", "Ti", "Cr", "Fe", "Ni", "Cu", "Zr", "Sn"])
def test_a_measured_pure_element_is_named(shared_data, element):
    cube = read_cube(shared_data / "nist_xrf" / f"{element}_50kv_50_ma_Rh_vac_D1.msa")
    labelled = label_peaks(cube.read_rows(0, 1)[0, 0].astype(float), cube.axis)
    assert [found.candidates[0].source for found in strongest(labelled, 2 if element not in ("Si", "S") else 1)] in (
        [element, element],
        [element],
    )
    for found in labelled:  # whatever else is named is the tube, or an impurity that is weak
        if found.candidates and found.candidates[0].source not in (element, "Rh") and found.candidates[0].score > 0.5:
            assert found.peak.height < 0.06 * strongest(labelled, 1)[0].peak.height


def test_a_measured_steel_has_its_alloying_elements(shared_data):
    cube = read_cube(shared_data / "nist_xrf" / "Steel_50kv_50_ma_Rh_vac_D1.msa")
    labelled = label_peaks(cube.read_rows(0, 1)[0, 0].astype(float), cube.axis)
    named = {found.candidates[0].label for found in labelled if found.candidates}
    assert {"Fe Kα", "Fe Kβ", "Cr Kα", "Cr Kβ", "Ni Kα", "Ni Kβ", "Mo Kα", "Ti Kα"} <= named


def test_hafnium_in_measured_zirconium(shared_data):
    """Zirconium is never without it, at a few percent."""
    cube = read_cube(shared_data / "nist_xrf" / "Zr_50kv_50_ma_Rh_vac_D1.msa")
    labelled = label_peaks(cube.read_rows(0, 1)[0, 0].astype(float), cube.axis)
    assert at(labelled, 7.90).candidates[0].label == "Hf Lα"
    assert at(labelled, 9.02).candidates[0].label == "Hf Lβ"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("lead white", {10.55: "Pb Lα", 12.61: "Pb Lβ", 14.76: "Pb Lγ"}),
        ("vermilion", {9.99: "Hg Lα", 11.82: "Hg Lβ"}),
        ("orpiment", {10.53: "As Kα", 11.73: "As Kβ", 2.31: "S Kα"}),
        ("azurite", {8.04: "Cu Kα", 8.90: "Cu Kβ"}),
        ("gold", {9.71: "Au Lα", 11.45: "Au Lβ", 6.40: "Fe Kα"}),
        ("ultramarine", {1.49: "Al Kα", 1.74: "Si Kα", 2.31: "S Kα", 3.31: "K Kα", 3.69: "Ca Kα"}),
        ("bismuth ink", {10.83: "Bi Lα", 13.02: "Bi Lβ"}),
    ],
)
def test_pigments(name, lines):
    labelled = label_peaks(pigment(name), TABLE.axis)
    for energy, label in lines.items():
        assert at(labelled, energy).candidates[0].label == label


def test_lead_and_arsenic_are_told_apart_by_their_other_lines():
    """Pb La and As Ka lie 8 eV apart, a twentieth of a peak's width."""
    arsenic = at(label_peaks(pigment("orpiment"), TABLE.axis), 10.54)
    lead = at(label_peaks(pigment("lead white"), TABLE.axis), 10.54)
    assert arsenic.candidates[0].label == "As Kα"
    assert lead.candidates[0].label == "Pb Lα"
    assert arsenic.candidates[0].family > 0.9
    for found, other in ((arsenic, "Pb Lα"), (lead, "As Kα")):
        others = [c for c in found.candidates if c.label == other]
        assert not others or others[0].family < 0.3


def test_escape_peaks_are_flagged():
    labelled = label_peaks(pigment("ultramarine"), TABLE.axis)
    escape = candidate(at(labelled, 3.69 - 1.74), "Ca Kα escape")
    assert escape.kind == "escape"
    assert at(labelled, 3.69 - 1.74).candidates[0] == escape


def test_sum_peaks_are_flagged():
    axis = TABLE.axis
    mean = 1e3 * pigment("azurite") + 5
    mean += 600 * np.exp(-0.5 * ((axis.values - 16.083) / 0.09) ** 2)  # 2 x 8.04, near no line of copper
    labelled = label_peaks(np.random.default_rng(0).poisson(mean).astype(float), axis)
    assert candidate(at(labelled, 16.08), "Cu Kα + Cu Kα").kind == "sum"


def test_the_scattered_line_of_the_tube_is_flagged():
    labelled = label_peaks(pigment("chalk"), TABLE.axis)
    assert at(labelled, 16.86).candidates[0].kind == "scatter"
    assert at(labelled, 16.86).text == "Mo Kα Compton"
    assert at(labelled, 17.45).text == "Mo Kα Rayleigh"
    assert at(labelled, 17.45).candidates[0].kind == "scatter"
    assert at(label_peaks(pigment("ultramarine"), TABLE.axis), 18.82).text == "Mo Kβ Compton"


def test_candidates_are_ranked_and_weak_ones_say_so():
    for name in TABLE.names:
        for found in label_peaks(pigment(name), TABLE.axis):
            scores = [c.score for c in found.candidates]
            assert scores == sorted(scores, reverse=True)
            assert all(0 <= c.score <= 1 and 0 <= c.family <= 1 for c in found.candidates)
            assert len({c.label for c in found.candidates}) == len(found.candidates)
            if found.candidates:
                assert found.text.endswith("?") == (found.candidates[0].score < 0.5)
            else:
                assert found.text == f"{found.peak.position:.4g}"


def test_every_element_of_the_list_has_lines():
    assert {family.element for family in families()} == set(ELEMENTS)


def test_a_falling_axis_and_empty_clusters():
    spectrum = pigment("azurite")
    falling = SpectralAxis(TABLE.axis.values[::-1], "keV")
    forwards, backwards = label_peaks(spectrum, TABLE.axis), label_peaks(spectrum[::-1], falling)
    assert forwards == backwards
    assert label_clusters(np.stack([spectrum, np.full_like(spectrum, np.nan)]), TABLE.axis) == [forwards, []]


def nebula(redshift=0.0):
    rgb, labels = draw_nebula(0, 24)
    cube = nebular_cube(rgb, labels=labels, observation=Observation(binning="pixels", velocity=(0, 0)), snr=60)
    axis = SpectralAxis(cube.axis.values * (1 + redshift), "angstrom")
    return cube.data[cube.labels == 1].mean(0).astype(float), axis


@pytest.mark.parametrize("redshift", [0.0, 0.0421])
def test_lines_of_a_nebula(redshift):
    flux, axis = nebula(redshift)
    labelled = label_peaks(flux, axis, redshift=(0.0, 0.3))
    for name, rest in {"Hα": 6562.8, "[OIII]5007": 5006.84, "[OIII]4959": 4958.91, "Hβ": 4861.33, "[NII]6583": 6583.46,
                       "[SII]6716": 6716.44, "[SII]6731": 6730.82}.items():  # fmt: skip
        best = at(labelled, rest * (1 + redshift), 2.0).candidates[0]
        assert best.label == name
        assert best.position == pytest.approx(rest * (1 + redshift), abs=1.0)
        assert best.redshift == pytest.approx(redshift, abs=3e-4)


def test_a_line_is_not_the_weaker_of_a_doublet_whose_other_one_is_weaker_still():
    """Halpha of gas that comes nearer, in wide channels, lies next to [NII]6548."""
    axis = SpectralAxis.linear(4750, 4.5, 1024, "angstrom")
    flux = np.random.default_rng(0).normal(0, 0.2, 1024)
    lines = {4861.33: 13, 4958.91: 11, 5006.84: 33, 6548.05: 12, 6562.8: 45, 6583.46: 36}
    for rest, height in lines.items():
        flux += height * np.exp(-0.5 * ((axis.values - rest * (1 - 179 / 299_792)) / 4) ** 2)
    labelled = label_peaks(flux, axis)
    assert at(labelled, 6553.6, 3.0).text == "Hα"
    assert at(labelled, 4956, 3.0).text == "[OIII]4959"


def test_without_a_redshift_shifted_lines_are_not_named():
    flux, axis = nebula(0.0421)
    named = [found.text for found in strongest(label_peaks(flux, axis), 3)]
    assert not {"Hα", "[OIII]5007"} & set(named)


def test_noise_of_a_real_cube_has_no_lines(shared_data):
    with read_cube(shared_data / "muse_udf" / "subcub_mosaic.fits") as cube:
        flux = np.nan_to_num(cube.read_rows(0, 30)).mean((0, 1)).astype(float)
    assert len(label_peaks(flux, cube.axis)) <= 1


def test_broad_bands_and_channels_get_no_names():
    spectrum = np.abs(np.random.default_rng(0).normal(size=200)) + 50 * np.eye(200)[60]
    assert label_peaks(spectrum, SpectralAxis.linear(400, 10, 200, "nm")) == []
    counts = np.random.default_rng(0).poisson(5 + 400 * np.exp(-0.5 * (np.arange(200) - 60) ** 2)).astype(float)
    (found,) = label_peaks(counts, SpectralAxis.linear(0, 1, 200, "channel"))
    assert found.candidates == ()
    assert found.peak.position == pytest.approx(60, abs=0.3)


def test_impossible_redshifts_are_refused():
    with pytest.raises(ValueError, match="lowest <= highest, got 1 and 0"):
        label_peaks(*nebula(), redshift=(1.0, 0.0))


def test_emission_lines_agree_with_those_of_the_generator():
    ours = {line.name: line.wavelength for line in emission_lines()}
    for line in nebular_lines():
        name = {"Ha": "Hα", "Hb": "Hβ"}.get(line.name, line.name)
        if name in ours:
            assert ours[name] == pytest.approx(line.wavelength, abs=0.7)  # blends lie between their lines


def test_bands_over_wavenumbers_are_found_and_not_named():
    counts = np.random.default_rng(0).poisson(5 + 400 * np.exp(-0.5 * (np.arange(200) - 80) ** 2)).astype(float)
    (found,) = label_peaks(counts, SpectralAxis.linear(400, 10, 200, "cm-1"))
    assert found.peak.position == pytest.approx(1200, abs=5)
    assert found.candidates == ()
