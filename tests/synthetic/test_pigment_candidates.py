import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.lines import identify
from deepspec.synthetic import load_pigments
from deepspec.synthetic.pigment_candidates import USED, elements_of_peaks, not_in_the_table, pigment_candidates

AXIS = SpectralAxis.linear(0.5, 0.04, 950, "keV")
SUPPORT = ("Ca", "K", "Cl")


def names(elements, **keywords):
    return [c.name for c in pigment_candidates(elements, AXIS, support=SUPPORT, **keywords)]


def test_tin_tells_lead_tin_yellow_from_lead_white():
    assert names({"Pb": 100, "Sn": 10})[0] == "lead-tin yellow"
    assert names({"Pb": 100})[0] in ("lead white", "red lead")
    against = {c.name: c.missing for c in pigment_candidates({"Pb": 100}, AXIS)}
    assert against["lead-tin yellow"] == ("Sn",)
    assert against["lead white"] == ()


def test_pigments_of_the_same_elements_stand_together():
    found = pigment_candidates({"Cu": 50.0}, AXIS)
    azurite = next(c for c in found if c.name == "azurite")
    assert {"malachite", "verdigris"} <= set(azurite.like)
    assert azurite.score == next(c for c in found if c.name == "malachite").score
    assert "for: Cu" in azurite.sentence
    assert "not told from" in azurite.sentence


def test_the_support_is_no_evidence_by_itself():
    assert names({"Ca": 100, "K": 10}) == []
    assert names({"Ca": 100, "Fe": 3, "Mn": 1})[0] == "umber"


def test_elements_beyond_the_axis_speak_neither_for_nor_against():
    short = SpectralAxis.linear(5, 0.04, 400, "keV")
    found = next(c for c in pigment_candidates({"Pb": 9.0}, short) if c.name == "lead-tin yellow")
    assert found.missing == ()
    assert "Sn" in found.unseen


def test_modern_elements_are_said_to_be_in_none():
    assert not_in_the_table({"Ti": 5, "Fe": 1, "Cd": 2}) == ["Cd", "Ti"]
    assert names({"Ti": 5}) == []


def test_every_pigment_has_a_time_of_use():
    assert set(USED) == set(load_pigments().names) - {"parchment"}


@pytest.mark.parametrize(
    "name", ["lead white", "vermilion", "orpiment", "lead-tin yellow", "azurite", "umber", "smalt", "red ochre"]
)
def test_the_pigment_of_a_spectrum_is_among_the_best_that_its_peaks_give(name):
    table = load_pigments()
    rng = np.random.default_rng(0)
    spectrum = rng.poisson(3e6 * table.spectra[table.index(name)]).astype(float)
    elements = elements_of_peaks(identify(spectrum[None], table.axis).labels[0])
    found = pigment_candidates(elements, table.axis, support=SUPPORT)
    best = found[0]
    assert name in (best.name, *best.like), [(c.name, c.score, c.sentence) for c in found]


def test_an_axis_without_energies_is_refused():
    with pytest.raises(ValueError, match="expected an axis of energies"):
        pigment_candidates({"Fe": 1.0}, SpectralAxis.linear(0, 1, 5, "channel"))
