import h5py
import numpy as np
import pytest
from PIL import Image

from deepspec.data.cube import read_cube
from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.synthetic import NebularSpectra, Observation, degrade, nebular_cube
from deepspec.synthetic.cube_files import write_degraded, write_nebular_cube, write_nebular_preview
from deepspec.synthetic.nebula_image import draw_nebula
from deepspec.synthetic.nebular_shards import write_nebular_shards

COARSE = Observation(bins=64)


@pytest.fixture(scope="module")
def cube():
    rgb, labels = draw_nebula(0, 24)
    return nebular_cube(rgb, labels=labels, observation=COARSE)


def test_the_cube_reader_opens_a_written_cube(cube, tmp_path):
    write_nebular_cube(tmp_path / "a.h5", cube, {"seed": 7})
    with read_cube(tmp_path / "a.h5") as opened:
        np.testing.assert_array_equal(opened.read_rows(0, 24), cube.data)
        assert opened.axis.matches(cube.axis)
        assert opened.axis.unit == "angstrom"
        assert opened.mask.all()
    with read_cube(tmp_path / "a.h5", dataset="clean") as opened:
        np.testing.assert_array_equal(opened.read_rows(0, 24), cube.clean)
    with h5py.File(tmp_path / "a.h5") as file:
        for name, value in (("label", cube.labels), ("source", cube.source), ("amplitude", cube.amplitude),
                            ("spectra", cube.spectra), ("weights", cube.weights), ("noise_sd", cube.noise_sd),
                            ("rgb", cube.rgb)):  # fmt: skip
            np.testing.assert_array_equal(file[name], value)
        assert list(file["label"].attrs["classes"]) == ["background", "HII region", "planetary nebula", "shock"]
        assert file.attrs["seed"] == 7
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_degraded_cube_keeps_its_labels(cube, tmp_path):
    degraded = degrade(cube.data, cube.clean, 0.3)
    write_degraded(tmp_path / "b.h5", degraded, cube.axis, cube.labels, {"source": "a.h5"})
    with read_cube(tmp_path / "b.h5") as opened:
        np.testing.assert_array_equal(opened.read_rows(0, 24), degraded.data)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["label"], cube.labels)
        assert file.attrs["level"] == 0.3
        assert file.attrs["psnr"] == degraded.psnr


def test_preview_shows_image_classes_and_brightness(cube, tmp_path):
    write_nebular_preview(tmp_path / "a.png", cube)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape == (24, 72, 3)
    np.testing.assert_array_equal(picture[:, :24], cube.rgb)
    assert (picture[:, 24:48][cube.labels == 1] == [255, 0, 0]).all()
    grey = picture[:, 48:, 0].astype(float)
    assert grey[cube.labels == 2].mean() > grey[cube.labels == 0].mean() + 50


def test_shards_hold_the_spectra_and_the_truth_tells_their_origin(tmp_path):
    counts = {"train": 1500, "val": 0, "test": 300}
    progress = []
    shards = write_nebular_shards(
        tmp_path / "shards", counts, COARSE, tmp_path / "truth.h5", seed=5, progress=lambda *p: progress.append(p)
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shards", "truth.h5"]
    assert shards.splits == ["train", "test"]
    assert (
        sum(n for step, n in progress if step == "made") == sum(n for step, n in progress if step == "written") == 1800
    )
    shards.verify()
    assert shards.seed == 5
    assert shards.parameters["snr"] == [5.0, 200.0]
    assert ShardSet(tmp_path / "shards").sources[0]["classes"][2] == "planetary nebula"
    rows = shards.read("test", 0, 300)
    made = list(NebularSpectra(300, "test", COARSE, seed=5).blocks())
    number = rows.pixel[:, 2]
    assert not np.array_equal(number, np.arange(300))  # shuffled
    np.testing.assert_array_equal(np.sort(number), np.arange(300))
    np.testing.assert_array_equal(rows.spectra, made[0].spectra[number])
    np.testing.assert_array_equal(rows.label, made[0].labels[number])
    with h5py.File(tmp_path / "truth.h5") as truth:
        assert "val" not in truth
        mixture = rows.pixel[:, 1]
        np.testing.assert_array_equal(truth["test/mixtures/label"][:][mixture], rows.label)
        np.testing.assert_allclose(truth["test/spectra/snr"][:][number], made[0].drawn["snr"][number], rtol=1e-6)
        first = truth["test/mixtures/models"][:][mixture][0, 0]
        name = truth["library"].keys() & {["", "HII region", "planetary nebula", "shock"][rows.label[0]]}
        assert truth["library"][name.pop()]["flux"][first, 0] == 100
        assert truth["train/spectra/velocity"].shape == (1500,)


def test_the_same_command_writes_the_same_shards(tmp_path):
    checksums = []
    for name in ("one", "two"):
        shards = write_nebular_shards(tmp_path / name, {"train": 600}, COARSE, tmp_path / f"{name}.h5", seed=2)
        checksums.append([entry.checksum for entry in shards.entries("train")])
    assert checksums[0] == checksums[1]


def test_an_error_leaves_nothing(tmp_path):
    def stop(step, n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_nebular_shards(tmp_path / "shards", {"train": 600}, COARSE, tmp_path / "truth.h5", progress=stop)
    assert not list(tmp_path.iterdir())


def test_counts_must_make_sense(tmp_path):
    for counts in ({"train": 0}, {"training": 5}, {}):
        with pytest.raises(UserError, match="expected a number of spectra for some of train, val, test"):
            write_nebular_shards(tmp_path / "s", counts, COARSE, tmp_path / "t.h5")
