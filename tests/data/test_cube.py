import h5py
import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube, read_cube
from deepspec.data.layout import Layout
from deepspec.errors import UserError

ARRAY = np.random.default_rng(0).poisson(5, (7, 4, 9)).astype(np.uint16)


class Recorder:
    """An array that remembers how much of it was read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.values_read = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.values_read += part.size
        return part


def test_from_array():
    axis = SpectralAxis.linear(0, 0.1, 9, "keV")
    cube = SpectralCube.from_array(ARRAY, axis, mask=np.eye(7, 4))
    assert cube.shape == (7, 4, 9)
    assert cube.dtype == np.uint16
    assert cube.axis is axis
    assert cube.mask.sum() == 4
    np.testing.assert_array_equal(cube.read_rows(2, 5), ARRAY[2:5])
    assert SpectralCube.from_array(ARRAY).axis.unit == "channel"


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (ARRAY[0], {}, r"expected numbers of shape \(rows, columns, channels\), got uint16 \(4, 9\)"),
        (ARRAY[:0], {}, r"\(0, 4, 9\)"),
        (ARRAY.astype(complex), {}, "complex128"),
        (ARRAY, {"axis": SpectralAxis.linear(0, 1, 8, "keV")}, "axis has 8 channels, the array has 9"),
        (ARRAY, {"mask": np.ones((4, 7))}, "swapped"),
    ],
)
def test_from_array_errors(array, options, message):
    with pytest.raises(UserError, match=message):
        SpectralCube.from_array(array, **options)


def test_rows_are_copies_and_nothing_else_is_read():
    cube = SpectralCube.from_array(ARRAY)
    recorder = Recorder(ARRAY)
    cube.arrays = [recorder]
    rows = cube.read_rows(2, 4)
    assert recorder.values_read == 2 * 4 * 9
    rows[:] = 0
    assert ARRAY[2:4].any()


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 8), (5, 3)])
def test_rows_that_do_not_exist(start, stop):
    with pytest.raises(UserError, match=rf"rows {start}:{stop} of a cube with 7 rows"):
        SpectralCube.from_array(ARRAY).read_rows(start, stop)


@pytest.mark.parametrize("max_pixels", [1, 4, 9, 28, 1000])
def test_blocks_cover_the_cube_once(max_pixels):
    parts = list(SpectralCube.from_array(ARRAY).blocks(max_pixels))
    np.testing.assert_array_equal(np.concatenate([x for _, x in parts]), ARRAY)
    assert [s.start for s, _ in parts[1:]] == [s.stop for s, _ in parts[:-1]]
    assert all(x.shape[0] * 4 <= max(max_pixels, 4) for _, x in parts)


def test_find_dead_leaves_the_mask_alone(monkeypatch):
    array = ARRAY.astype(np.float32)
    array[1, 2] = 0
    array[3, 0, 4] = np.nan
    cube = SpectralCube.from_array(array)
    monkeypatch.setattr("deepspec.data.cube._BLOCK_BYTES", 300)  # several blocks
    assert np.argwhere(cube.find_dead()).tolist() == [[1, 2], [3, 0]]
    assert cube.mask.all()


def test_find_dead_names_channels_that_kill_every_pixel():
    array = ARRAY.astype(np.float32)
    array[..., 3:5] = np.inf
    with pytest.raises(
        UserError, match="2 of 9 channels are NaN in every pixel; leave them out with --channels 0:3,5:9"
    ):
        SpectralCube.from_array(array).find_dead()
    with pytest.raises(UserError, match=r"no pixel has a usable spectrum$"):
        SpectralCube.from_array(np.zeros((2, 2, 3))).find_dead()
    living_but_masked = np.zeros((2, 2, 3))
    living_but_masked[0, 0] = 1
    with pytest.raises(UserError, match="no pixel"):
        SpectralCube.from_array(living_but_masked, mask=np.eye(2)[::-1]).find_dead()


def test_read_cube_options(tmp_path):
    np.save(tmp_path / "cube.npy", ARRAY)
    np.savez(tmp_path / "masks.npz", a=np.eye(7, 4), b=np.ones((7, 4)))
    options = {"spectral_dim": 2, "axis": "0:8:keV", "channels": "1:3,6:9"}
    with read_cube(tmp_path / "cube.npy", mask=f"{tmp_path / 'masks.npz'}:a", **options) as cube:
        assert cube.axis.values.tolist() == [1, 2, 6, 7, 8]
        assert cube.shape == (7, 4, 5)
        assert cube.mask.sum() == 4
        np.testing.assert_array_equal(cube.read_rows(0, 7), ARRAY[..., [1, 2, 6, 7, 8]])
        assert cube.path == tmp_path / "cube.npy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": "nm"}, "names a unit, but the file holds no axis with 9 values"),
        ({"axis": SpectralAxis.linear(0, 1, 5, "nm")}, "the axis has 5 channels, the cube has 9"),
        ({"channels": "0:99"}, "within 0:9"),
        ({"detector": 0}, "no detector 0: there is one"),
        ({"mask": np.ones(3)}, r"shape \(3,\)"),
        ({"spectral_dim": 7}, "spectral_dim is 7"),
    ],
)
def test_read_cube_errors(tmp_path, options, message):
    np.save(tmp_path / "cube.npy", ARRAY)
    with pytest.raises(UserError, match=message):
        read_cube(tmp_path / "cube.npy", **{"spectral_dim": 2, **options})


def test_sums_of_signed_and_wide_detectors_do_not_overflow(tmp_path):
    for kind, wide in (("u2", "u4"), ("i2", "i4"), ("u4", "u8"), ("i4", "i8"), ("f4", "f4")):
        array = np.full((2, 3, 2, 5), np.iinfo(kind).max if kind[0] != "f" else 1e30).astype(kind)
        np.save(tmp_path / "a.npy", array)
        with read_cube(tmp_path / "a.npy", spectral_dim=3, detector_dim=2) as cube:
            assert cube.dtype == np.dtype(wide)
            np.testing.assert_array_equal(cube.read_rows(0, 2), array.astype(wide).sum(axis=2, dtype=wide))


def test_closing_releases_the_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["img"] = ARRAY
    with read_cube(tmp_path / "a.h5", spectral_dim=2) as cube:
        pass
    with pytest.raises(UserError, match="rows 0:1"):
        cube.read_rows(0, 1)


@pytest.mark.parametrize("limit", [64 * 2**20, 1000], ids=["small", "large"])
def test_a_channel_that_is_nan_in_many_pixels_is_left_out(tmp_path, monkeypatch, capsys, limit):
    monkeypatch.setattr("deepspec.data.cube._BLOCK_BYTES", limit)
    array = np.random.default_rng(0).random((30, 4, 20)).astype(np.float32)
    array[np.random.default_rng(1).random((30, 4)) < 0.6, 7] = np.nan
    np.save(tmp_path / "a.npy", array)
    with read_cube(tmp_path / "a.npy", spectral_dim=2, axis="0:19:keV") as cube:
        assert cube.axis.values.tolist() == [*range(7), *range(8, 20)]
        np.testing.assert_array_equal(cube.read_rows(0, 30), np.delete(array, 7, axis=2))
        assert not cube.find_dead().any()
    assert "left out 1 of 20 channels" in capsys.readouterr().err
    with read_cube(tmp_path / "a.npy", spectral_dim=2, channels="0:20") as cube:
        assert cube.shape == (30, 4, 20)
        assert cube.find_dead().mean() > 0.5


def test_repr_is_a_few_lines(tmp_path):
    values = np.arange(2 * 3 * 512, dtype=np.uint16).reshape(2, 3, 512)
    mask = np.array([[1, 1, 0], [1, 0, 1]])
    cube = SpectralCube.from_array(values, SpectralAxis.linear(0.5, 0.1, 512, "keV"), mask)
    assert repr(cube).splitlines() == [
        "SpectralCube of 2 x 3 pixels and 512 channels, uint16",
        "  axis: 512 channels, 0.5 to 51.6 keV",
        "  mask: 4 of 6 pixels may be used",
        "  source: an array in memory",
    ]
    assert repr(cube.axis) == "SpectralAxis(512 channels, 0.5 to 51.6 keV)"
    np.save(tmp_path / "four.npy", np.zeros((2, 3, 4, 512), np.int16))
    with read_cube(tmp_path / "four.npy", spectral_dim=3, detector_dim=2) as summed:
        assert "detectors: 4, the sum of them" in repr(summed)
        assert str(tmp_path / "four.npy") in repr(summed)
        assert len(repr(summed).splitlines()) == 5
    with read_cube(tmp_path / "four.npy", spectral_dim=3, detector_dim=2, detector=1) as one:
        assert "detectors: 4, number 1" in repr(one)
    mixed = SpectralCube([np.zeros((2, 3, 4), np.int64), np.zeros((2, 3, 4), np.uint64)], Layout(0, 1, 2),
                         SpectralAxis.linear(0, 1, 4, "keV"), np.ones((2, 3), bool), detector="sum")  # fmt: skip
    assert "int64, uint64" in repr(mixed)
