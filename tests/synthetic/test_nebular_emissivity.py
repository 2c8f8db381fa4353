"""The fits against ratios that PyNeb gave independently of them."""

import numpy as np
import pytest

from deepspec.synthetic.nebular_lines import balmer, doublet, emissivity, hei_7065, nii_5755, siii_6312

T = np.array([7e3, 1e4, 1.3e4])
N = np.full(3, 100.0)


def test_auroral_lines_measure_the_temperature():
    np.testing.assert_allclose(
        emissivity("[NII]5755", T, N) / emissivity("[NII]6583", T, N), [0.005, 0.015, 0.027], rtol=0.1
    )
    np.testing.assert_allclose(
        emissivity("[SIII]6312", T, N) / emissivity("[SIII]9069", T, N), [0.025, 0.067, 0.113], rtol=0.03
    )
    np.testing.assert_allclose(nii_5755(T), [0.005, 0.015, 0.027])
    np.testing.assert_allclose(siii_6312(T), [0.025, 0.067, 0.113])


@pytest.mark.parametrize(
    ("ion", "lines", "at_100", "at_3000"),
    [("[SII]", (6716, 6731), 1.35, 0.67), ("[ClIII]", (5518, 5538), 1.42, 0.90), ("[NI]", (5198, 5200), 0.78, 1.87)],
)
def test_doublets_measure_the_density(ion, lines, at_100, at_3000):
    for density, expected in ((100.0, at_100), (3000.0, at_3000)):
        one, other = (emissivity(f"{ion}{line}", np.array(1e4), np.array(density)) for line in lines)
        assert one / other == pytest.approx(expected, rel=0.04)
        first, second = doublet(ion, np.array(5.0), np.array(density))
        assert first + second == pytest.approx(5)
        assert first / second == pytest.approx(expected, rel=0.03)


def test_helium_at_the_reference_point():
    assert 100 * emissivity("HeI5876", np.array(1e4), np.array(100.0)) == pytest.approx(137, rel=0.01)
    assert hei_7065(np.array(10.0)) == hei_7065(np.array(100.0)) == pytest.approx(24.1 / 137, rel=0.01)


def test_h_beta_of_another_zone_fades_with_temperature():
    hot, cool = np.array(12e3), np.array(9e3)
    own = emissivity("[NII]6583", cool, np.array(100.0))
    assert emissivity("[NII]6583", cool, np.array(100.0), hot) / own == pytest.approx((9 / 12) ** -0.88)


def test_density_is_interpolated_in_its_logarithm_and_low_densities_are_alike():
    at = {n: emissivity("[SII]6716", np.array(1e4), np.array(float(n))) for n in (10, 100, 3000)}
    between = emissivity("[SII]6716", np.array(1e4), np.sqrt(np.array(100.0 * 3000)))
    assert between == pytest.approx(np.sqrt(at[100] * at[3000]))
    assert at[10] == at[100]


def test_balmer_decrement():
    np.testing.assert_allclose(balmer(np.array([8e3, 1e4, 1.5e4])), [2.915, 2.863, 2.788])


def test_unknown_feature():
    with pytest.raises(KeyError):
        emissivity("[FeII]8617", T, N)
