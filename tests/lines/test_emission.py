import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.lines import LineOptions, identify, label_peaks, sentences
from deepspec.lines.emission import emission_lines, to_air, to_vacuum

AXIS = SpectralAxis.linear(4750, 1.25, 3680, "angstrom")
REST = {line.name: line.wavelength for line in emission_lines()}
NEBULA = {"Hβ": 30, "[OIII]4959": 33, "[OIII]5007": 100, "[NII]6548": 10, "Hα": 90, "[NII]6583": 30, "[SII]6716": 15,
          "[SII]6731": 12, "[OI]6300": 6, "HeI5876": 5}  # fmt: skip
CORONAL = {"[FeVII]5721": 8, "[FeVII]6087": 12, "[FeX]6375": 10, "[FeXI]7892": 9, "[FeXIV]5303": 7}


def seen_at(name, z=0.0, medium="air"):
    moved = to_vacuum(np.array(REST[name])) * (1 + z)
    return float(moved if medium == "vacuum" else to_air(moved))


def spectrum(lines, z=0.0, medium="air", noise=0.3, seed=0, continuum=10.0, axis=AXIS):
    flux = continuum + np.random.default_rng(seed).normal(0, noise, axis.channels)
    for name, height in lines.items():
        flux += height * np.exp(-0.5 * ((axis.values - seen_at(name, z, medium)) / 1.4) ** 2)
    return flux


def names(labelled):
    return {p.candidates[0].label for p in labelled if p.candidates}


def starlight(seed=0):
    """A continuum with absorption: strong lines of old stars and a forest of weak ones."""
    rng = np.random.default_rng(seed)
    flux = np.full(AXIS.channels, 100.0) + 0.002 * (AXIS.values - 4750)
    strong = {4861: 25, 5167: 20, 5173: 25, 5184: 30, 5270: 20, 5335: 18, 5890: 30, 5896: 25, 6563: 20, 8498: 25,
              8542: 45, 8662: 40}  # fmt: skip
    for place, depth in strong.items():
        flux -= depth * np.exp(-0.5 * ((AXIS.values - place) / 4) ** 2)
    for place, depth in zip(rng.uniform(4750, 9350, 600), rng.exponential(3.0, 600), strict=True):
        flux -= depth * np.exp(-0.5 * ((AXIS.values - place) / 2.5) ** 2)
    return flux + rng.normal(0, 0.3, AXIS.channels)


def test_coronal_lines_of_an_active_galaxy():
    named = names(label_peaks(spectrum(NEBULA | CORONAL), AXIS))
    assert set(CORONAL) | set(NEBULA) <= named


def test_each_cluster_has_its_own_redshift():
    """Gas of a galaxy at 0.0172 whose halves move 250 km/s apart, found between 0 and 0.1."""
    moved = (0.0168, 0.0176)
    spectra = np.stack([*(spectrum(NEBULA, z) for z in moved), np.full(AXIS.channels, np.nan)])
    found = identify(spectra, AXIS, redshift=(0.0, 0.1))
    assert found.redshifts[:2] == pytest.approx(moved, abs=2e-4)
    assert found.redshifts[2] is None
    for labels in found.labels[:2]:
        assert set(NEBULA) <= names(labels)
        assert all(c.redshift == pytest.approx(0.0172, abs=6e-4) for p in labels for c in p.candidates[:1])
    assert any("redshift of 0.0168 in cluster 0, 0.0176 in cluster 1" in text for text in sentences(found, AXIS))


def test_gas_moves_about_a_redshift_that_is_given():
    moved = 400 / 299_792
    labelled = label_peaks(spectrum(NEBULA, moved), AXIS)
    assert {"Hα", "[OIII]5007", "[SII]6716"} <= names(labelled)
    # At 0.03 Hβ lies where [OIII]5007 would: one line can be any.
    assert names(label_peaks(spectrum(NEBULA, 0.03), AXIS)) <= {"[OIII]5007", "[FeVII]5159"}


@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_air_and_vacuum(medium):
    found = identify(
        spectrum(NEBULA, 0.05, medium)[None], AXIS, redshift=(0.0, 0.1), options=LineOptions(medium=medium)
    )
    assert found.redshifts[0] == pytest.approx(0.05, abs=1e-4)
    best = next(p.candidates[0] for p in found.labels[0] if p.candidates and p.candidates[0].label == "Hα")
    assert best.position == pytest.approx(seen_at("Hα", 0.05, medium), abs=0.5)


def test_air_and_vacuum_agree_with_standard_tables():
    # NIST: [OIII] 5006.843 in air, 5008.240 in vacuum; H alpha 6562.79 and 6564.61 (SDSS's table)
    np.testing.assert_allclose(to_vacuum(np.array([5006.843, 6562.79])), [5008.240, 6564.61], atol=0.01)
    np.testing.assert_allclose(
        to_air(to_vacuum(np.linspace(2100, 23_000, 50))), np.linspace(2100, 23_000, 50), atol=1e-3
    )
    assert to_vacuum(np.array(1215.67)) == 1215.67


@pytest.mark.parametrize("seed", range(3))
def test_starlight_has_no_emission_lines(seed):
    labelled = label_peaks(starlight(seed), AXIS)
    assert len(labelled) > 20  # peaks there are: what stands between two absorption lines
    assert names(labelled) <= {"night sky"}


def test_emission_in_front_of_starlight_is_named():
    flux = starlight() + spectrum({name: 2 * height for name, height in NEBULA.items()}, noise=0.0, continuum=0.0)
    assert {"Hα", "[OIII]5007", "[OIII]4959", "[NII]6583", "Hβ", "[SII]6716"} <= names(label_peaks(flux, AXIS))


def test_weak_lines_are_not_named_where_no_strong_one_shines():
    assert names(label_peaks(spectrum({"[ArV]7006": 8, "[FeII]8892": 8}), AXIS)) == set()


def test_a_medium_that_is_none():
    from deepspec.command import run_command

    def verb(cube: str, *, lines: LineOptions) -> None:
        """Nothing."""

    with pytest.raises(SystemExit):
        run_command(verb, prog="x", positional="cube", args=["a", "--medium", "water"], groups={"lines": LineOptions})


def test_table():
    assert len(REST) == len(emission_lines())  # names are unique
    for name, wavelength in {"[FeVII]5721": 5720.7, "[FeVII]6087": 6087.0, "[FeX]6375": 6374.5}.items():
        assert REST[name] == pytest.approx(wavelength, abs=0.1)
    for line in emission_lines():  # the number in a name is the wavelength, rounded
        digits = "".join(c for c in line.name.split("]")[-1] if c.isdigit())
        if len(digits) >= 4 and not line.name.startswith("H2"):
            assert float(digits) == pytest.approx(line.wavelength, abs=3.0), line.name


def test_balmer_and_paschen_lines_follow_rydberg():
    for name, (lower, upper) in {"Hα": (2, 3), "Hβ": (2, 4), "Hγ": (2, 5), "Hδ": (2, 6), "H10": (2, 10), "Pa9": (3, 9),
                                 "Paδ": (3, 7), "Paγ": (3, 6), "Paβ": (3, 5), "Brγ": (4, 7)}.items():  # fmt: skip
        vacuum = 1e8 / (109_677.58 * (1 / lower**2 - 1 / upper**2))
        assert REST[name] == pytest.approx(float(to_air(np.array(vacuum))), abs=0.15), name


def test_impossible_options_are_refused():
    with pytest.raises(UserError, match="significance"):
        LineOptions(significance=float("nan")).check()
