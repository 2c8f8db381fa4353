import numpy as np
import pytest

from deepspec.data.layout import Layout, WithoutDims, dims_to_drop, guess_layout, unfold
from deepspec.errors import UserError


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((600, 900, 2048), Layout(0, 1, 2)),
        ((2048, 11, 9), Layout(1, 2, 0)),  # the only power of two
        ((1000, 800, 512), Layout(0, 1, 2)),  # the longest is no power of two
        ((83, 86, 204), Layout(0, 1, 2)),  # many channels in the last
        ((3681, 30, 30), Layout(1, 2, 0)),  # the longest
        ((512, 512, 200), Layout(0, 1, 2)),
        ((11, 11, 4, 2000), Layout(0, 1, 3, 2)),
        ((4, 20, 30, 1024), Layout(1, 2, 3, 0)),
        ((512, 512, 31), Layout(0, 1, 2)),  # few bands
        ((482, 512, 31), Layout(0, 1, 2)),
        ((300, 400, 31), Layout(0, 1, 2)),
        ((31, 300, 400), Layout(1, 2, 0)),
        ((640, 480, 8), Layout(0, 1, 2)),
        ((1024, 1280, 16), Layout(0, 1, 2)),
        ((300, 31, 400), Layout(0, 2, 1)),
        ((1000, 66, 1000), Layout(0, 2, 1)),  # bands in the middle, as PRISMA has them
        ((1000, 173, 1000), Layout(0, 2, 1)),
        ((60, 2048, 80), Layout(0, 2, 1)),
        ((512, 217, 204), Layout(0, 1, 2)),
        ((60, 256, 2048), Layout(0, 1, 2)),
        ((200, 300, 1024), Layout(0, 1, 2)),
        ((1, 500, 1024), Layout(0, 1, 2)),  # one line of a scan
        ((1024, 1, 500), Layout(1, 2, 0)),
        ((1, 300, 200), Layout(0, 1, 2)),
        ((3, 100, 4, 2048), Layout(0, 1, 3, 2)),  # three rows and four detectors
        ((4, 4, 4, 2048), Layout(0, 1, 3, 2)),  # of equally short ones the detectors lie next to the channels
    ],
)
def test_guesses(shape, expected):
    layout, notes = guess_layout(shape, "file")
    assert layout == expected
    assert "spectral_dim" in notes[0]


def test_an_axis_of_the_same_length_leaves_no_doubt():
    layout, notes = guess_layout((512, 217, 204), "file", axis_lengths={204})
    assert layout == Layout(0, 1, 2)
    assert notes == []


def test_what_is_told_wins_and_negative_counts_from_the_end():
    assert guess_layout((2048, 11, 9), "file", spectral_dim=-1)[0] == Layout(0, 1, 2)
    assert guess_layout((5, 6, 7, 8), "file", spectral_dim=0, detector_dim=3)[0] == Layout(1, 2, 0, 3)
    assert guess_layout((300, 20, 30), "file", spectral_dim=0, rows_last=True)[0] == Layout(2, 1, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spectral_dim": 3}, "spectral_dim is 3"),
        ({"spectral_dim": -4}, "spectral_dim is -4"),
        ({"detector_dim": 1}, "no detector dimension"),
    ],
)
def test_impossible_dimensions(options, message):
    with pytest.raises(UserError, match=message):
        guess_layout((5, 6, 7), "file", **options)


def test_unfolded_pixels_read_like_a_reshaped_array():
    stored = np.arange(7 * 12).reshape(7, 12)
    (along_rows,), folded = unfold([stored], (3, 4), "C", None, "file")
    assert folded == 1
    assert along_rows.shape == (7, 3, 4)
    whole = slice(None)
    np.testing.assert_array_equal(along_rows[whole, whole, whole], stored.reshape(7, 3, 4))
    np.testing.assert_array_equal(along_rows[whole, slice(1, 3), whole], stored.reshape(7, 3, 4)[:, 1:3])
    (along_columns,), _ = unfold([stored], (3, 4), "F", None, "file")
    reference = stored.reshape(7, 4, 3)  # column, row
    np.testing.assert_array_equal(along_columns[whole, whole, slice(1, 2)], reference[:, :, 1:2])
    np.testing.assert_array_equal(along_columns[whole, whole, whole], reference)


@pytest.mark.parametrize(("shape", "message"), [((7, 13), "length 12"), ((12, 12), "spectral_dim as well")])
def test_unfold_needs_exactly_one_pixel_dimension(shape, message):
    with pytest.raises(UserError, match=message):
        unfold([np.zeros(shape)], (3, 4), "C", None, "file")
    if shape == (12, 12):
        assert unfold([np.zeros(shape)], (3, 4), "C", 0, "file")[1] == 1


@pytest.mark.parametrize(
    ("shape", "dropped"),
    [
        ((128, 1, 1, 20, 25), [1, 2]),
        ((40, 50, 1, 2048), [2]),
        ((1, 60, 2048), []),  # an image of one row
        ((1, 1, 2048), []),
        ((1, 1, 60, 2048), [1]),
        ((1, 60, 4, 2048), []),  # one row and four detectors
        ((1, 300, 400, 31), [0]),
    ],
)
def test_dimensions_of_length_one(shape, dropped):
    assert sorted(dims_to_drop(shape, 3, ())) == dropped


def test_a_view_without_dimensions_reads_like_the_array():
    stored = np.arange(2 * 3 * 4).reshape(2, 1, 3, 1, 4)
    view = WithoutDims(stored, [1, 3])
    assert view.shape == (2, 3, 4)
    index = (slice(0, 1), slice(1, 3), slice(None))
    np.testing.assert_array_equal(view[index], stored[:, 0, :, 0][index])


def test_a_list_of_pixels_with_detectors_is_hinted_at():
    notes = guess_layout((200, 2, 4096), "file")[1]
    assert "--spatial_shape ROWS COLUMNS for 200 pixels in a row with 2 detectors" in notes[0]
