import numpy as np
import pytest

from deepspec.synthetic.nebular_lines import features, nebular_lines, shares, stack


def ratio(first, second):
    by_name = {line.name: line for line in nebular_lines()}
    assert by_name[first].feature == by_name[second].feature
    return by_name[first].share / by_name[second].share


# Storey & Zeippen 2000 and transition probabilities: both lines leave from one level, whatever the gas is like.
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("[OIII]5007", "[OIII]4959", 2.98), ("[NII]6583", "[NII]6548", 3.05), ("[OI]6300", "[OI]6364", 3.13),
     ("[ArIII]7751", "[ArIII]7136", 0.241)],
)  # fmt: skip
def test_ratios_that_atomic_physics_fixes(first, second, expected):
    assert ratio(first, second) == pytest.approx(expected, rel=1e-4)


def test_parts_of_oii_are_all_of_it():
    parts = [line.share for line in nebular_lines() if line.feature == "[OII]7325"]
    assert len(parts) == 4
    assert sum(parts) == pytest.approx(1)


def test_paschen_lines_follow_h_beta_and_brighten_to_the_red():
    paschen = sorted((line for line in nebular_lines() if line.name.startswith("Pa")), key=lambda line: line.wavelength)
    assert [line.name for line in paschen] == ["Pa14", "Pa13", "Pa12", "Pa11", "Pa10", "Pa9"]
    # Rydberg's formula in vacuum, over the refractive index of air
    for line in paschen:
        upper = int(line.name[2:])
        vacuum = 1e8 / (109_677.58 * (1 / 9 - 1 / upper**2))
        assert line.wavelength == pytest.approx(vacuum / 1.000274, abs=0.1)
    assert list(np.diff([line.share for line in paschen]) > 0) == [True] * 5


def test_every_line_lies_in_the_range_of_muse_and_names_are_unique():
    names = [line.name for line in nebular_lines()]
    assert len(set(names)) == len(names) == 40
    assert all(4750 < line.wavelength < 9350 for line in nebular_lines())


def test_shares_put_features_into_their_lines():
    flux = stack({"[NII]6583": np.array([305.0, 0.0]), "Hb": np.array([100.0, 100.0])})
    assert flux.shape == (2, len(features()))
    lines = dict(zip([line.name for line in nebular_lines()], (flux @ shares()).T, strict=True))
    np.testing.assert_allclose(lines["[NII]6548"], [100, 0], rtol=1e-4)
    np.testing.assert_allclose(lines["Pa9"], [2.54, 2.54])
    assert not lines["Ha"].any()
    with pytest.raises(ValueError, match="no such features: Hc"):
        stack({"Hc": np.ones(1)})
