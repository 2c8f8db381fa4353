import numpy as np
import pytest

from deepspec.data.ingestion import check_fractions, split_blocks, split_images
from deepspec.errors import UserError


@pytest.mark.parametrize(
    ("images", "fractions", "expected"),
    [
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (3, (0.8, 0.1, 0.1), [1, 1, 1]),
        (5, (0.8, 0.2, 0.0), [4, 1, 0]),
        (4, (1.0, 0.0, 0.0), [4, 0, 0]),
        (100, (0.5, 0.25, 0.25), [50, 25, 25]),
    ],
)
def test_images_per_split(images, fractions, expected):
    found = split_images(images, fractions, seed=1)
    assert [found.count(code) for code in range(3)] == expected
    assert found == split_images(images, fractions, seed=1)


def test_images_are_drawn_at_random():
    assert len({tuple(split_images(6, (0.5, 0.5, 0), seed)) for seed in range(20)}) > 5


def test_too_few_images():
    with pytest.raises(UserError, match="2 images cannot be split into train, val, test by image"):
        split_images(2, (0.8, 0.1, 0.1), 0)


@pytest.mark.parametrize("shape", [(100, 100), (37, 211), (11, 9), (1, 500), (1200, 300)])
def test_blocks_meet_the_fractions(shape):
    mask = np.random.default_rng(0).random(shape) < 0.7
    split = split_blocks(mask, (0.7, 0.2, 0.1), (0, 0))
    assert split.shape == shape
    shares = np.bincount(split[mask], minlength=3) / mask.sum()
    np.testing.assert_allclose(shares, (0.7, 0.2, 0.1), atol=0.03)


def test_blocks_are_squares():
    split = split_blocks(np.ones((100, 100), bool), (0.5, 0.5, 0), (0, 0))
    blocks = split.reshape(10, 10, 10, 10).transpose(0, 2, 1, 3).reshape(100, 100)
    assert (blocks == blocks[:, :1]).all()
    assert not (split_blocks(np.ones((100, 100), bool), (0.5, 0.5, 0), (1, 0)) == split).all()


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.9, 0.2, -0.1), (0.5, 0.1, 0.1), (0, 0.5, 0.5)])
def test_impossible_fractions(fractions):
    with pytest.raises(UserError, match="three fractions of train, val and test that add up to 1"):
        check_fractions(fractions)
