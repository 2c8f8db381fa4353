"""Which dataset of an HDF5 file is the cube, written as the programs that people use write their files."""

import h5py
import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError
from tests.reporting.segmentations import segmentation

CUBE = np.random.default_rng(0).poisson(5, (9, 8, 70)).astype(np.uint16)
FIRST = np.ascontiguousarray(CUBE.transpose(2, 0, 1))


@pytest.fixture
def write(tmp_path):
    def file_of(content):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, value in content.items():
                file[name] = value
        return tmp_path / "a.h5"

    return file_of


def values(path, **options):
    with read_cube(path, **options) as cube:
        return cube.read_rows(0, cube.shape[0])


@pytest.mark.parametrize("place", ["MAPS/Spectra/mca_arr", "MAPS/mca_arr"])
def test_the_sum_of_xrf_maps_goes_before_its_raw_detectors(write, place):
    raw = {f"MAPS_RAW/data_{name}": FIRST for name in "abcd"}
    path = write({place: 3 * FIRST, **raw, "MAPS/Spectra/Energy": 0.01 * np.arange(1, 71)})
    np.testing.assert_array_equal(values(path), 3 * CUBE)
    np.testing.assert_array_equal(values(path, dataset="MAPS_RAW", detector=2), CUBE)


def test_raw_detectors_without_a_sum_are_summed(write):
    path = write({f"MAPS_RAW/data_{name}": FIRST for name in "abcd"} | {"MAPS_RAW/other": np.ones((3, 9, 8))})
    np.testing.assert_array_equal(values(path), 4 * CUBE)


def test_the_sum_of_pyxrf(write):
    content = {f"xrfmap/det{i}/counts": CUBE for i in (1, 2, 3)}
    path = write({**content, "xrfmap/detsum/counts": 3 * CUBE})
    np.testing.assert_array_equal(values(path, spectral_dim=2), 3 * CUBE)


@pytest.mark.parametrize(
    "names",
    [
        ("det1/counts", "det2/counts"),
        ("fx_det0", "fx_det1"),
        ("mca_00", "mca_01"),
        ("xmap/channel08", "xmap/channel10"),
    ],
)
def test_numbered_detectors_are_summed_and_said(write, capsys, names):
    path = write({f"scan/{name}": (i + 1) * CUBE for i, name in enumerate(names)})
    np.testing.assert_array_equal(values(path, spectral_dim=2), 3 * CUBE)
    assert "as 2 detectors; choose with --dataset NAME or --detector NUMBER" in capsys.readouterr().err
    np.testing.assert_array_equal(values(path, spectral_dim=2, detector=1), 2 * CUBE)
    np.testing.assert_array_equal(values(path, spectral_dim=2, dataset=f"scan/{names[0]}"), CUBE)


def test_a_summed_detector_goes_before_its_parts(write):
    path = write({"scan/det0": CUBE, "scan/det1": CUBE, "scan/det_sum": 2 * CUBE})
    np.testing.assert_array_equal(values(path, spectral_dim=2), 2 * CUBE)


def test_numbers_that_count_no_detectors_are_not_summed(write, capsys):
    path = write({"scan1/img": CUBE, "scan2/img": 2 * CUBE})
    np.testing.assert_array_equal(values(path, spectral_dim=2), CUBE)
    assert "--dataset NAME" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Preview/Image", "thumbnail", "entry/overview/data"])
def test_pictures_and_previews_are_no_cubes(write, name):
    path = write({"a/values": CUBE, name: np.zeros((200, 300, 3), np.uint8)})
    np.testing.assert_array_equal(values(path, spectral_dim=2), CUBE)
    path = write({"a/values": CUBE, name: np.zeros((200, 30, 100), np.uint16)})
    if "Image" in name or "thumb" in name or "overview" in name:
        np.testing.assert_array_equal(values(path, spectral_dim=2), CUBE)


def test_a_picture_alone_is_refused_unless_named(write):
    path = write({"photo": np.ones((200, 300, 3), np.uint8)})
    with pytest.raises(UserError, match=r"only pictures, no cube.*--dataset NAME"):
        read_cube(path)
    assert values(path, dataset="photo").shape == (200, 300, 3)


def test_our_own_segmentation_is_refused_with_a_hint(tmp_path):
    segmentation().save(tmp_path / "segmentation.h5")
    with pytest.raises(UserError, match="this is a segmentation, not a cube: `deepspec evaluate` takes it"):
        read_cube(tmp_path / "segmentation.h5")


def test_our_own_shards_are_refused_with_a_hint(tmp_path):
    with ShardWriter(tmp_path / "s", SpectralAxis.linear(0, 1, 8, "keV"), "uint16", seed=0) as writer:
        writer.write("train", np.ones((40, 8), np.uint16), np.zeros((40, 3), np.int32))
    with pytest.raises(UserError, match="this is a shard of training data, not a cube: `deepspec fit`"):
        read_cube(next((tmp_path / "s").glob("*.h5")))


def test_survey_images_are_no_cubes(write, capsys):
    """A SPARC microscope keeps its large electron images, of one channel, beside the smaller cube."""
    path = write(
        {
            "Acquisition0/ImageData/Image": np.ones((1, 1, 1, 512, 512), np.uint16),
            "Acquisition2/ImageData/Image": CUBE.transpose(2, 0, 1)[:, None, None],
        }
    )
    with h5py.File(path, "r+") as file:
        for name in ("Acquisition0", "Acquisition2"):
            file[f"{name}/ImageData/Image"].attrs["DIMENSION_LABELS"] = ["C", "T", "Z", "Y", "X"]
    np.testing.assert_array_equal(values(path), CUBE)


@pytest.mark.parametrize("shape", [(90, 80, 3), (3, 90, 80), (90, 80, 4)])
def test_colour_pictures_of_any_type_are_no_cubes_where_there_is_one(tmp_path, shape):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["photo"] = np.ones(shape, np.float32)
        file["xrf"] = np.full((5, 6, 70), 2, np.uint16)
    with read_cube(tmp_path / "a.h5") as cube:
        assert cube.shape == (5, 6, 70)
        assert (cube.read_rows(0, 5) == 2).all()


def test_the_sum_of_larch_goes_before_its_detectors(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in (("mca1", 2), ("mca2", 3), ("mcasum", 7)):  # a sum that is corrected for dead times
            file[f"xrmmap/{name}/counts"] = np.full((5, 6, 70), value, np.uint32)
            file[f"xrmmap/{name}/energy"] = 0.01 * np.arange(1, 71)
    with read_cube(tmp_path / "a.h5") as cube:
        assert (cube.read_rows(0, 5) == 7).all()
        np.testing.assert_allclose(cube.axis.values, 0.01 * np.arange(1, 71))
