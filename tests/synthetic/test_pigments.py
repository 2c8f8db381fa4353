import numpy as np
import pytest

from deepspec.errors import UserError
from deepspec.synthetic.pigments import load_pigments, palette_titles

TABLE = load_pigments()
CHANNEL = 38.0 / 1024

# Strongest visible lines in keV: weighted means of the unresolved Ka1 and Ka2, or La1 and La2.
PEAKS = {
    "azurite": [8.04, 8.905],
    "vermilion": [9.985, 11.83, 13.83],
    "lead white": [2.345, 10.545, 12.61, 14.765],
    "lead-tin yellow": [3.45, 10.545, 12.61, 25.26],
    "orpiment": [2.307, 10.53, 11.725],
    "gold": [6.40, 9.705, 11.44, 13.38],
    "ultramarine": [1.74, 2.307, 3.69, 6.40],
    "smalt": [6.40, 6.93, 10.53],
    "umber": [5.895, 6.40],
    "parchment": [3.69, 16.87, 17.45],
}


@pytest.mark.parametrize(("name", "energy"), [(n, e) for n, energies in PEAKS.items() for e in energies])
def test_peaks_are_within_a_channel_of_their_lines(name, energy):
    spectrum, centres = TABLE.spectra[TABLE.index(name)], TABLE.axis.values
    near = np.flatnonzero(abs(centres - energy) < 0.1)
    top = near[spectrum[near].argmax()]
    assert top not in (near[0], near[-1])  # a maximum, not a slope
    assert abs(centres[top] - energy) <= CHANNEL


def height(name, energy):
    spectrum = TABLE.spectra[TABLE.index(name)]
    return spectrum[abs(TABLE.axis.values - energy) < 0.08].max()


def test_ratios_of_lines():
    assert 0.12 < height("azurite", 8.905) / height("azurite", 8.04) < 0.15  # Cu Kb / Ka
    assert 1.3 < height("lead white", 10.545) / height("lead white", 12.61) < 1.7  # Pb La / Lb


def test_rates_relative_to_azurite():
    expected = {"azurite": 1.0, "lead white": 0.96, "vermilion": 0.96, "ultramarine": 0.17, "parchment": 0.15}
    for name, rate in expected.items():
        assert TABLE.rates[TABLE.index(name)] == pytest.approx(rate, abs=0.02)


def test_spectra_are_distributions_without_empty_channels():
    np.testing.assert_allclose(TABLE.spectra.sum(axis=1), 1.0, rtol=1e-12)
    assert TABLE.spectra.min() > 4e-6
    assert TABLE.spectra.shape == (31, 1024)


def test_512_channels_are_pairs_of_1024():
    half = load_pigments(512)
    np.testing.assert_allclose(half.spectra, TABLE.spectra.reshape(31, 512, 2).sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(half.edges, TABLE.edges[::2])
    np.testing.assert_allclose(half.axis.values, TABLE.axis.values.reshape(512, 2).mean(axis=1))
    assert half.axis.unit == "keV"


def test_stored_spectra_are_the_stored_emissions_at_140_ev():
    again = load_pigments(fwhm_ev=140.0)
    np.testing.assert_allclose(again.spectra, TABLE.spectra, atol=2e-8)
    np.testing.assert_allclose(again.rates, TABLE.rates, rtol=1e-6)


def test_a_better_detector_has_narrower_and_higher_peaks():
    sharp, blunt = load_pigments(fwhm_ev=130.0), load_pigments(fwhm_ev=150.0)
    azurite = TABLE.index("azurite")
    assert sharp.spectra[azurite].max() > TABLE.spectra[azurite].max() > blunt.spectra[azurite].max()
    np.testing.assert_allclose(sharp.rates, blunt.rates, rtol=1e-4)


def test_another_parchment_changes_its_lines_and_nothing_else():
    other = load_pigments(parchment=np.random.default_rng(3))
    counts = other.spectra * other.rates[:, None] / (TABLE.spectra * TABLE.rates[:, None])
    calcium, copper = np.argmin(abs(TABLE.axis.values - 3.69)), np.argmin(abs(TABLE.axis.values - 8.05))
    assert abs(counts[TABLE.index("parchment"), calcium] - 1) > 0.05
    assert counts[TABLE.index("azurite"), copper] == pytest.approx(1.0, abs=1e-3)
    chalk = counts[TABLE.index("chalk"), calcium]  # calcium of the paint, not of the parchment
    assert abs(chalk - 1) < 0.1 * abs(counts[TABLE.index("parchment"), calcium] - 1)


@pytest.mark.parametrize("palette", range(1, 8))
def test_every_palette_loads(palette):
    table = TABLE.select(palette)
    assert 14 <= len(table.names) <= 22
    # what no miniature does without
    assert {"azurite", "vermilion", "lead white", "gold", "carbon black", "parchment"} <= set(table.names)
    assert "smalt" not in table.names  # first used after 1500
    assert len(table.spectra) == len(table.rates) == len(table.srgb) == len(table.formulas) == len(table.names)
    assert palette in palette_titles()


def test_own_palette_keeps_the_order_given():
    table = TABLE.select(["vermilion", "azurite"])
    assert table.names == ("vermilion", "azurite")
    np.testing.assert_array_equal(table.spectra[1], TABLE.spectra[TABLE.index("azurite")])
    assert table.rates[1] == 1.0


def test_mistakes_are_explained():
    with pytest.raises(UserError, match=r"channels=2048: the pigment table has 512 or 1024 channels"):
        load_pigments(2048)
    with pytest.raises(UserError, match=r"fwhm_ev: .* below the Fano limit"):
        load_pigments(fwhm_ev=90.0)
    with pytest.raises(UserError, match=r"palette 8: expected a number from 1 to 7"):
        TABLE.select(8)
    with pytest.raises(UserError, match=r"unknown pigment 'vermillion' \(did you mean 'vermilion'\?\)"):
        TABLE.select(["vermillion"])
    with pytest.raises(UserError, match=r"unknown pigment 'xyz'; expected one of lead white, chalk"):
        TABLE.select(["xyz"])
    with pytest.raises(UserError, match="each once"):
        TABLE.select(["gold", "gold"])
    with pytest.raises(UserError, match="one or more pigment names"):
        TABLE.select([])
