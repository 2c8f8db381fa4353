import numpy as np
import pytest

from deepspec.data.pixels import FiniteChannels, SparseChannels, dead_pixels, parse_channels, read_mask
from deepspec.errors import UserError


def test_dead_pixels_are_all_zero_or_not_finite():
    x = np.ones((1, 5, 3))
    x[0, 0] = 0
    x[0, 1, 2] = np.nan
    x[0, 2, 0] = -np.inf
    x[0, 3] = [0, 0, -1]  # negative after background subtraction: alive
    assert dead_pixels(x).tolist() == [[True, True, True, False, False]]
    assert dead_pixels(np.array([[[0, 0], [0, 1]]], dtype=np.uint16)).tolist() == [[True, False]]


def test_finite_channels_explains_only_channels_that_are_never_finite():
    x = np.ones((2, 2, 6))
    x[..., 2:4] = np.nan
    finite = FiniteChannels(6)
    finite.add(x, dead_pixels(x))
    assert finite.explain().endswith("leave them out with --channels 0:2,4:6")
    x[0, 0, 2:4] = 1
    x[0, 0, 5] = np.nan
    finite = FiniteChannels(6)
    finite.add(x, dead_pixels(x))
    assert finite.explain() == ""


def test_mask_is_true_where_nonzero(tmp_path):
    labels = np.array([[0, 3], [1, 0]])
    expected = [[False, True], [True, False]]
    assert read_mask(labels, (2, 2)).tolist() == expected
    assert read_mask(np.where(labels, 2.0, np.nan), (2, 2)).tolist() == expected
    np.save(tmp_path / "mask.npy", labels[:, :, None])
    assert read_mask(tmp_path / "mask.npy", (2, 2)).tolist() == expected


def test_mask_errors():
    with pytest.raises(UserError, match=r"shape \(2, 3\).*3 rows and 2 columns.*swapped"):
        read_mask(np.ones((2, 3)), (3, 2))
    with pytest.raises(UserError, match="no valid pixel"):
        read_mask(np.zeros((2, 2)), (2, 2))


def test_parse_channels():
    assert parse_channels("0:2,3:5", 6).tolist() == [0, 1, 3, 4]
    assert parse_channels("0:2,2:3", 6).tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "1", "0:7", "3:2", "0:3,2:4", "-1:2", "a:b", "0:1:2"])
def test_parse_channels_errors(text):
    with pytest.raises(UserError, match="ranges"):
        parse_channels(text, 6)


def sparse(x):
    found = SparseChannels(x.shape[-1])
    for part in np.array_split(x, 3):
        found.add(part, np.ones(part.shape[:2], bool))
    return np.flatnonzero(found.sparse()).tolist(), found.explain()


def test_channels_that_are_missing_in_many_pixels():
    x = np.ones((10, 10, 20))
    x[:6, :, 5] = np.nan  # 60 %
    x[:, 7:, 9:12] = np.inf  # 30 %
    x[0, :, 3] = np.nan  # 10 %
    assert sparse(x) == ([5, 9, 10, 11], "5 (in 60 of 100 pixels), 9 to 11 (in up to 30 of 100 pixels)")


def test_pixels_without_a_spectrum_do_not_count():
    x = np.ones((10, 50, 20))
    x[:9] = np.nan  # beyond the edge of the mosaic
    x[9, :15, 4] = np.nan
    assert sparse(x) == ([4], "4 (in 15 of 50 pixels)")


def test_most_channels_are_never_left_out():
    x = np.ones((10, 10, 20))
    x[:5, :, :10] = np.nan
    x[5:, :, 10:] = np.nan
    x[:, :, 3] = 1
    assert sparse(x)[0] == []


def test_explained_in_few_words():
    x = np.ones((4, 5, 60))
    x[:, :, ::3] = np.nan
    assert sparse(x)[1].endswith(" and 12 more")
