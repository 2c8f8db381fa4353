import numpy as np
import torch

from deepspec.segmentation.spectra import SpectraSample


def draw(blocks, seed=0, size=10):
    sample = SpectraSample(1000, size, torch.Generator().manual_seed(seed), torch.device("cpu"))
    for pixels in torch.arange(1000).split(blocks):
        sample.add(pixels, pixels[:, None].float())
    return sample.spectra_ND[:, 0].long()


def test_sample_does_not_depend_on_the_blocks():
    whole = draw(1000)
    assert len(whole.unique()) == 10
    for blocks in (1, 7, 10, 333):
        torch.testing.assert_close(draw(blocks), whole)


def test_every_pixel_is_as_likely_as_any_other():
    drawn = torch.cat([draw(64, seed) for seed in range(300)])
    counts = np.bincount(drawn.numpy() // 100, minlength=10)
    # 3,000 draws into ten parts of the image: 300 each, give or take four standard deviations of 16.
    assert abs(counts - 300).max() < 66


def test_fewer_spectra_than_asked_for_are_all_kept():
    assert sorted(draw(64, size=2000).tolist()) == list(range(1000))
