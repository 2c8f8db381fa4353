import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from deepspec.errors import UserError
from deepspec.synthetic import degrade
from deepspec.synthetic.degradation import LEVELS, psnr

RNG = np.random.default_rng(0)
CLEAN = np.zeros((24, 20, 50), dtype=np.float32)
CLEAN[4:9, 3:12, 20:23] = 1000.0


def observed(sd):
    noise = np.random.default_rng(1).standard_normal(CLEAN.shape)
    return (CLEAN + sd * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def test_psnr_agrees_with_scikit_image():
    noisy = observed(30)
    assert psnr(CLEAN, noisy) == pytest.approx(peak_signal_noise_ratio(CLEAN, noisy, data_range=1000.0), abs=1e-4)
    assert psnr(CLEAN, CLEAN) == float("inf")


def test_the_levels_of_the_paper_are_three_times_the_noise_each_at_48_db():
    noisy = observed(1000 / 10 ** (48 / 20))
    own = np.sqrt(np.mean((noisy - CLEAN) ** 2.0))
    found = [degrade(noisy, CLEAN, level) for level in LEVELS]
    assert found[0].psnr_before == pytest.approx(48, abs=1e-4)
    np.testing.assert_allclose([d.added_sd / own for d in found], [0, 3.03, 6.11, 9.07, 11.98], atol=0.006)
    np.testing.assert_allclose([d.achieved for d in found], LEVELS, atol=0.003)
    for d in found:
        assert d.psnr == pytest.approx(psnr(CLEAN, d.data))
        assert d.achieved == pytest.approx(1 - d.psnr / d.psnr_before)


def test_level_0_leaves_the_cube_alone():
    noisy = observed(20)
    kept = degrade(noisy, CLEAN, 0.0)
    np.testing.assert_array_equal(kept.data, noisy)
    assert kept.data is not noisy
    assert (kept.achieved, kept.added_sd) == (0, 0)


def test_levels_share_one_draw_of_noise():
    noisy = observed(20)
    weak, strong, other = degrade(noisy, CLEAN, 0.2), degrade(noisy, CLEAN, 0.4), degrade(noisy, CLEAN, 0.4, seed=1)
    draws = [(d.data - noisy) / d.added_sd for d in (weak, strong, other)]
    np.testing.assert_allclose(draws[0], draws[1], atol=1e-4)
    assert abs(np.corrcoef(draws[1].ravel(), draws[2].ravel())[0, 1]) < 0.02
    assert draws[0].std() == pytest.approx(1, abs=0.02)


def test_counts_become_flux():
    counts = RNG.poisson(CLEAN + 2).astype(np.uint16)
    assert degrade(counts, CLEAN + 2, 0.1).data.dtype == np.float32


@pytest.mark.parametrize(
    ("noisy", "clean", "level", "message"),
    [(observed(5), CLEAN, 1.0, "level=1.0: expected a degradation from 0 to below 1"),
     (observed(5), CLEAN, -0.1, "level=-0.1"),
     (observed(5)[:3], CLEAN, 0.2, r"got \(3, 20, 50\) and, clean, \(24, 20, 50\)"),
     (CLEAN, CLEAN, 0.2, "PSNR of inf dB"), (observed(3000), CLEAN, 0.2, "PSNR of -9.5 dB"),
     (observed(5), 0 * CLEAN, 0.2, "no value above 0"), (observed(np.nan), CLEAN, 0.2, "observed cube holds NaN")],
)  # fmt: skip
def test_mistakes(noisy, clean, level, message):
    with pytest.raises(UserError, match=message):
        degrade(noisy, clean, level)


def test_psnr_mistakes():
    with pytest.raises(UserError, match="two cubes of one shape"):
        psnr(CLEAN, CLEAN[:2])
    with pytest.raises(UserError, match="so no peak"):
        psnr(0 * CLEAN, CLEAN)
    with pytest.raises(UserError, match="seed=-1"):
        degrade(observed(5), CLEAN, 0.2, seed=-1)
