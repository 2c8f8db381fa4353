import numpy as np
import pytest

from deepspec.synthetic.nebular_spectra import extinction


def test_values_of_the_law():
    wavelength = np.array([4861.33, 5006.84, 5875.66, 6562.8, 6725, 7136, 9069])
    np.testing.assert_allclose(extinction(wavelength), [3.61, 3.47, 2.88, 2.54, 2.46, 2.26, 1.47], atol=0.006)


def test_a_colour_excess_of_one_reddens_b_minus_v_by_one():
    b, v = extinction(np.array([4400.0, 5494.5]))
    assert v == pytest.approx(3.1, abs=0.01)
    assert b - v == pytest.approx(1, abs=0.02)


def test_both_branches_meet():
    low, high = extinction(1e4 / np.array([1.0999, 1.1001]))
    assert low == pytest.approx(high, rel=0.01)


def test_range():
    with pytest.raises(ValueError, match="3030 to 33000"):
        extinction(np.array([3000.0]))
