"""Names of X-ray peaks in spectra that are drawn from known lines."""

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.lines import LineOptions, identify, label_peaks, sentences, tube_limit
from deepspec.lines.calibration_fit import Calibration, family_shapes, solve
from deepspec.lines.tube import compton_energy
from deepspec.lines.xray import escape_spectrum, sum_spectrum
from deepspec.lines.xray_lines import Family, families, lines_of, seen_energy, xrf_lines

AXIS = SpectralAxis.linear(0.0, 0.01, 2500, "keV")


def drawn(areas, *, background=20.0, fwhm=140.0, seed=0, extra=0.0, axis=AXIS):
    """Counts of families with given areas of their main lines, over a smooth background."""
    chosen = [f for f in families() if (f.element, f.shell) in areas]
    amount = np.array([areas[f.element, f.shell] for f in chosen]) * 0.01
    shapes = family_shapes(chosen, axis.values, fwhm)
    mean = background * np.exp(-axis.values / 8) + amount @ shapes + extra
    return np.random.default_rng(seed).poisson(mean).astype(float)


def first_names(labelled):
    return {round(p.peak.position, 2): p.candidates[0].label for p in labelled if p.candidates}


def name_at(labelled, energy, tolerance=0.05):
    near = [p for p in labelled if abs(p.peak.position - energy) < tolerance and p.candidates]
    return min(near, key=lambda p: abs(p.peak.position - energy)).candidates[0].label if near else None


PAINTING = {("Ca", "K"): 3e5, ("Fe", "K"): 5e5, ("Cu", "K"): 2e5, ("Pb", "L"): 8e5, ("Sr", "K"): 1e5}


@pytest.mark.parametrize("off_ev", [-80, -40, 20, 80])
def test_offset_gain_and_width_are_found(off_ev):
    counts = drawn(PAINTING, fwhm=165.0)
    true = Calibration(offset=-off_ev / 1000, gain=1.5e-3)
    shown = SpectralAxis(true.shown(AXIS.values), "keV")
    found = identify(counts[None], shown).calibration
    assert found.offset == pytest.approx(true.offset, abs=0.003)
    assert found.gain == pytest.approx(1.5e-3, abs=6e-4)
    assert found.fwhm_mn_ev == pytest.approx(165, abs=4)
    named = first_names(label_peaks(counts, shown))
    assert {"Ca Kα", "Fe Kα", "Fe Kβ", "Cu Kα", "Pb Lα", "Pb Lβ", "Sr Kα"} <= set(named.values())


def test_calibration_goes_both_ways():
    calibration = Calibration(offset=0.05, gain=-0.002)
    np.testing.assert_allclose(calibration.shown(calibration.energy(AXIS.values)), AXIS.values, atol=1e-12)


def test_one_axis_for_all_spectra_of_a_cube():
    """A spectrum whose own lines would tell nothing has the axis of the others."""
    poor = drawn({("Fe", "K"): 3e3}, background=2.0, seed=1)
    shifted = SpectralAxis(AXIS.values - 0.06, "keV")
    together = identify(np.stack([drawn(PAINTING), poor]), shifted)
    assert together.calibration.offset == pytest.approx(0.06, abs=0.004)
    assert "Fe Kα" in first_names(together.labels[1]).values()


def test_shapes_have_the_area_and_place_of_their_lines():
    iron = next(f for f in families() if (f.element, f.shell) == ("Fe", "K"))
    shape = family_shapes([iron], AXIS.values, 140.0)[0]
    assert shape.sum() * 0.01 == pytest.approx(sum(line.intensity for line in iron.lines), rel=1e-3)
    assert AXIS.values[shape.argmax()] == pytest.approx(6.40, abs=0.01)
    by_hand = sum(
        line.intensity * np.exp(-0.5 * ((6.5 - line.energy) / s) ** 2) / (np.sqrt(2 * np.pi) * s)
        for line in iron.lines
        for s in [np.sqrt(140.0**2 + 2327.5 * (line.energy - 5.895)) / 2354.8]  # Fano: eV^2 for each keV
    )
    assert shape[650] == pytest.approx(by_hand, rel=2e-3)


def test_amounts_are_those_of_scipy_and_never_negative():
    from scipy.optimize import nnls

    rng = np.random.default_rng(3)
    shapes, sigma = rng.uniform(size=(5, 60)), rng.uniform(0.5, 2, 60)
    target = np.array([1.0, 0.0, 3.0, 0.0, 0.5]) @ shapes - 0.1
    amount, residual = solve(shapes, target, sigma)
    np.testing.assert_allclose(amount, nnls((shapes / sigma).T, target / sigma)[0], atol=1e-9)
    np.testing.assert_allclose(residual, (target - amount @ shapes) / sigma)
    assert (amount >= 0).all()


# ---- candidates


def test_the_fifth_beta_line_of_lead_is_no_thorium():
    counts = drawn({("Pb", "L"): 3e7, ("Ca", "K"): 1e6})
    labelled = label_peaks(counts, AXIS)
    assert name_at(labelled, 10.55) == "Pb Lα"
    assert not [p.text for p in labelled if any(c.source == "Th" for c in p.candidates[:1])]


def test_argon_of_the_air_goes_before_silver():
    labelled = label_peaks(drawn({("Ar", "K"): 2e5, ("Ca", "K"): 4e5, ("Fe", "K"): 1e6}), AXIS)
    assert name_at(labelled, 2.957) == "Ar Kα"
    assert not [p.text for p in labelled if p.candidates and p.candidates[0].source in ("Ag", "Cd", "Th", "U")]


def test_aluminium_goes_before_bromine_in_a_silicate():
    """Br La lies 7 eV below Al Ka; a beam of 10 keV does not reach Br K."""
    axis = SpectralAxis.linear(0, 0.01, 1000, "keV")
    areas = {("Al", "K"): 2e5, ("Si", "K"): 6e5, ("K", "K"): 4e5, ("Ca", "K"): 3e5, ("Fe", "K"): 5e5}
    labelled = label_peaks(drawn(areas, axis=axis), axis)
    assert name_at(labelled, 1.487) == "Al Kα"


def test_light_elements_are_named_where_they_are_clear():
    axis = SpectralAxis.linear(0, 0.005, 1600, "keV")
    areas = {("C", "K"): 2e6, ("O", "K"): 6e6, ("F", "K"): 1e6, ("Si", "K"): 4e6, ("Ca", "K"): 1e6}
    labelled = label_peaks(drawn(areas, axis=axis, fwhm=130.0), axis)
    assert [name_at(labelled, e, 0.03) for e in (0.277, 0.525, 0.677)] == ["C Kα", "O Kα", "F Kα"]


def test_the_step_where_counting_begins_is_no_line():
    step = 400.0 * (AXIS.values > 0.38) * np.exp(-AXIS.values / 2)
    labelled = label_peaks(drawn({("Fe", "K"): 3e5}, extra=step), AXIS)
    assert not [p for p in labelled if p.peak.position < 1.0]


def test_tungsten_under_nickel_is_known_by_its_other_lines():
    labelled = label_peaks(drawn({("Ni", "K"): 3e6, ("Fe", "K"): 3e6, ("W", "L"): 1.2e5}), AXIS)
    assert name_at(labelled, 9.67) == "W Lβ"


# ---- artefacts


def test_escape_peaks_lie_where_they_must():
    model = np.zeros(1000)
    energy = np.arange(1000) * 0.01
    model[640] = 1000.0
    escape = escape_spectrum(model, energy)
    assert energy[escape.argmax()] == pytest.approx(6.40 - 1.74, abs=0.011)
    assert escape.max() / 1000 == pytest.approx(0.002, rel=0.3)
    model = np.zeros(1000)
    model[150] = 1.0  # below silicon's edge
    assert escape_spectrum(model, energy).max() == 0


def test_photons_of_two_lines_meet_twice_as_often_as_those_of_one():
    model, energy = np.zeros(2000), 0.1 + np.arange(2000) * 0.01
    one, other = 300, 500
    model[[one, other]] = 4.0
    sums = sum_spectrum(model, energy)
    at = {e: sums[round((e - 0.1) / 0.01)] for e in (2 * energy[one], energy[one] + energy[other], 2 * energy[other])}
    same, cross, last = at.values()
    assert cross == pytest.approx(2 * same) == pytest.approx(2 * last)
    assert np.count_nonzero(sums > 1e-9 * cross) == 3


def test_sum_peaks_of_a_spectrum_are_named():
    chosen = [f for f in families() if (f.element, f.shell) in {("Fe", "K"), ("Ca", "K")}]
    lines = np.array([8e4, 8e4]) @ family_shapes(chosen, AXIS.values, 140.0)
    counts = np.random.default_rng(0).poisson(5 + lines + 6e-8 * sum_spectrum(lines, AXIS.values) * 1e2).astype(float)
    labelled = label_peaks(counts, AXIS)
    assert name_at(labelled, 6.40 + 3.69) == "Ca Kα + Fe Kα"
    assert name_at(labelled, 2 * 6.40) == "Fe Kα + Fe Kα"


# ---- the tube


def scattered(anode, rayleigh=4e4, compton=3e5, turn=1.7, axis=AXIS):
    family = next(f for f in families() if (f.element, f.shell) == (anode, "K"))
    shapes = rayleigh * 0.01 * family_shapes([family], axis.values, 140.0)[0]
    for line in family.lines:
        centre, sigma = float(compton_energy(np.array(line.energy), np.array(turn))), 0.19
        peak = np.exp(-0.5 * ((axis.values - centre) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
        shapes = shapes + compton * 0.01 * line.intensity * peak
    return shapes


@pytest.mark.parametrize("anode", ["Rh", "Mo", "Ag", "Pd"])
def test_the_anode_is_found_by_its_compton_peak(anode):
    axis = SpectralAxis.linear(0, 0.01, 2900, "keV")
    counts = drawn({("Fe", "K"): 3e5, ("Ca", "K"): 3e5}, extra=scattered(anode, axis=axis), axis=axis)
    found = identify(counts[None], axis)
    assert found.tube == anode
    kinds = {c.label: c.kind for p in found.labels[0] for c in p.candidates[:1] if c.source == anode}
    assert {f"{anode} Kα Rayleigh", f"{anode} Kα Compton"} <= set(kinds)
    assert set(kinds.values()) == {"scatter"}


def test_an_element_of_the_sample_is_no_tube():
    counts = drawn({("Mo", "K"): 3e5, ("Fe", "K"): 3e5})
    found = identify(counts[None], AXIS)
    assert found.tube is None
    assert name_at(found.labels[0], 17.44) == "Mo Kα"
    assert tube_limit(AXIS, counts) is None


def test_a_tube_that_is_given():
    counts = drawn({("Cr", "K"): 3e5, ("Fe", "K"): 3e5})
    labelled = label_peaks(counts, AXIS, options=LineOptions(tube="Cr"))
    assert name_at(labelled, 5.41) == "Cr Kα Rayleigh"
    assert name_at(label_peaks(counts, AXIS, options=LineOptions(tube="none")), 5.41) == "Cr Kα"
    with pytest.raises(UserError, match="tube 'Ir': expected the anode, one of Rh, Mo, Ag, Pd, W, Cr, or none"):
        label_peaks(counts, AXIS, options=LineOptions(tube="Ir"))


def test_limit_below_the_tube():
    counts = drawn({("Fe", "K"): 3e5, ("Ca", "K"): 3e5}, extra=scattered("Rh"))
    limit = tube_limit(AXIS, counts)
    assert 17.8 < AXIS.values[limit] < 18.7  # K alpha scattered backwards is at 18.72, and half a keV wide
    assert tube_limit(AXIS, counts, "Rh") == limit
    shifted = SpectralAxis(AXIS.values + 0.08, "keV")
    assert tube_limit(shifted, counts) == pytest.approx(limit, abs=2)
    assert tube_limit(AXIS, counts, "none") is None
    assert tube_limit(AXIS, counts, "Cr") is None  # among the lines of the sample
    assert tube_limit(AXIS, counts, "W") is None  # beyond the axis
    assert tube_limit(SpectralAxis.linear(0, 1, 2500, "channel"), counts) is None
    with pytest.raises(ValueError, match="rising axis and a spectrum of 2500 channels"):
        tube_limit(AXIS, counts[:7])


def test_significance_is_asked_for():
    counts = drawn({("Fe", "K"): 3e5, ("Ti", "K"): 600.0}, background=50.0)
    few, many = (label_peaks(counts, AXIS, options=LineOptions(significance=s)) for s in (30.0, 4.0))
    assert len(few) < len(many)
    assert min(p.peak.significance for p in few) >= 30
    with pytest.raises(UserError, match="significance: expected at least 3"):
        label_peaks(counts, AXIS, options=LineOptions(significance=1.0))


# ---- the table


def test_groups_are_seen_at_their_mean_unless_they_are_resolved():
    def seen(element, group):
        return seen_energy([line for line in lines_of()[element] if line.group == group])

    assert seen("Fe", "Ka") == pytest.approx(6.3995, abs=5e-4)  # (2 x 6.4038 + 6.3908) / 3
    assert seen("U", "Ka") == pytest.approx(98.434, abs=0.01)  # Ka2 is 3.8 keV lower: a peak of its own
    assert seen("Pb", "Lb") == pytest.approx(12.616, abs=0.01)


def test_labels_and_calibration_mean_the_same():
    from deepspec.data.axis_choice import line_energy

    for family in families():
        for name, group in (("Ka", "Ka1"), ("La", "La1")):
            line = next((line for line in family.lines if line.name == group), None)
            if line is not None:
                assert line_energy(f"{family.element}-{name}") == pytest.approx(family.seen_at(line), abs=1e-9)


def test_light_elements_and_deep_shells_are_in_the_table():
    energies = {(line.element, line.name): line.energy for line in xrf_lines()}
    # X-ray Data Booklet, keV
    for key, energy in {
        ("C", "Ka1"): 0.277,
        ("N", "Ka1"): 0.3924,
        ("O", "Ka1"): 0.5249,
        ("F", "Ka1"): 0.6768,
        ("Rh", "Ka1"): 20.216,
        ("W", "Ka1"): 59.318,
        ("Pb", "Lb5"): 13.015,
        ("Zr", "Kb2"): 17.970,
    }.items():
        assert energies[key] == pytest.approx(energy, abs=0.003), key


def test_families_are_of_one_element_and_shell():
    assert all(isinstance(f, Family) and len({(x.element, x.name[0]) for x in f.lines}) == 1 for f in families())


# ---- what is said


def test_a_wrong_axis_is_said_with_what_puts_it_right():
    from deepspec.data.axis_choice import calibrate

    counts = drawn(PAINTING)
    wrong = SpectralAxis(AXIS.values + 0.055, "keV")
    said = sentences(identify(counts[None], wrong), wrong)
    assert "offset of -55 ± " in said[0]
    warning = next(text for text in said if text.startswith("warning"))
    call = warning.partition("--calibrate ")[2].partition(", or add")[0]
    right = calibrate(call, AXIS.channels)
    assert np.abs(right.values - AXIS.values)[300:1500].max() < 0.006
    again = sentences(identify(counts[None], right), right)
    assert not [text for text in again if text.startswith("warning")]
    without = sentences(identify(counts[None], wrong), wrong, calibratable=False)
    assert any(text.endswith("do not: add --refine_axis") for text in without)


def test_nothing_is_said_of_spectra_without_lines():
    flat = np.random.default_rng(0).poisson(50, (1, 2500)).astype(float)
    assert sentences(identify(flat, AXIS), AXIS) == ()
    assert identify(np.zeros((2, 2500)), AXIS).labels == [[], []]
    assert identify(np.full((1, 2500), np.nan), AXIS).labels == [[]]
    short = SpectralAxis.linear(1, 1, 5, "keV")
    assert identify(np.ones((1, 5)), short).labels == [[]]
