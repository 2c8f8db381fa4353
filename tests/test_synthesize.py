import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from PIL import Image

from deepspec.data.cube import read_cube
from deepspec.data.shards.manifest import ShardSet
from deepspec.synthesize import main
from deepspec.synthetic.nebula_image import draw_nebula
from tests.synthetic.test_xrf import RGB


@pytest.fixture
def image(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "page.png")
    return str(tmp_path / "page.png")


def test_scans_of_several_images(image, tmp_path, capsys):
    out = tmp_path / "scans"
    main(["xrf", image, "miniature:2", "--out", str(out), "--size", "40", "--seed", "5", "--top_k", "3",
          "--k_range", "3", "4", "--fwhm_ev", "135", "135"])  # fmt: skip
    assert sorted(p.name for p in out.iterdir()) == ["miniature_02.h5", "miniature_02.png", "page.h5", "page.png"]
    printed = capsys.readouterr().out
    assert f"wrote {out}/page.h5 and .png: 10 x 40 pixels, 512 channels" in printed
    with h5py.File(out / "page.h5") as first, h5py.File(out / "miniature_02.h5") as second:
        assert first["img"].shape == (10, 40, 512)
        assert second["img"].shape == (40, 40, 512)
        assert (first.attrs["seed"], second.attrs["seed"]) == (5, 6)
        assert (first.attrs["palette"], second.attrs["palette"]) == (1, 3)  # the one miniature 2 is painted with
        assert first.attrs["top_k"] == 3
        assert first.attrs["k_range"] == "3, 4"
        assert first.attrs["fwhm_mn_ev"] == 135
        assert first.attrs["source"] == image
        assert "mask" not in first


def test_the_same_command_writes_the_same_counts(image, tmp_path):
    for name in ("one", "two"):
        main(["xrf", image, "--out", str(tmp_path / name), "--counts", "absolute", "--palette", "[azurite, gold]"])
    with h5py.File(tmp_path / "one/page.h5") as first, h5py.File(tmp_path / "two/page.h5") as second:
        np.testing.assert_array_equal(first["img"], second["img"])
        assert first.attrs["palette"] == "azurite, gold"


def test_keep_marks_exactly_the_share_of_the_pixels(image, tmp_path):
    main(["xrf", image, "--out", str(tmp_path), "--keep", "0.2"])
    with h5py.File(tmp_path / "page.h5") as file:
        assert file["mask"][:].sum() == int(0.2 * 12 * 48)
        assert file["img"][:][~file["mask"][:]].any()  # the other pixels are measured too


def test_every_setting_is_in_the_file(image, tmp_path):
    main(["xrf", image, "--out", str(tmp_path)])
    with h5py.File(tmp_path / "page.h5") as file:
        assert set(file.attrs) == {
            "generator", "source", "size", "keep", "palette", "seed", "channels", "counts", "mean_counts", "threshold",
            "weighting", "top_k", "k_range", "colour_space", "mode", "fwhm_ev", "vary_parchment", "fwhm_mn_ev",
            "deepspec_cube",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "the first word names what to synthesize: expected xrf, nebulae, degrade, got nothing"),
        (["xrff", "a.png"], "expected xrf, nebulae, degrade, got 'xrff'"),
        (["xrf", "nowhere.png", "--out", "x"], "nowhere.png: not found"),
        (["xrf", "miniature:0", "--out", "x", "--keep", "0"], "keep=0.0: expected a share above 0"),
        (["nebulae", "miniature:x", "--out", "x"], "expected miniature:N"),
        (["nebulae", "nebula:0", "--out", "x", "--size", "8"], "size=8: expected at least 16"),
        (["nebulae", "nebula:0", "--out", "x", "--snr", "9", "3"], "snr=9.0, 3.0: expected 1e-06 <= lower end"),
        (["nebulae", "nebula:0", "--out", "x", "--spectra", "9", "-3", "0"], "spectra=9, -3, 0: expected 0 or more"),
        (["degrade", "nowhere.h5", "--out", "x"], "nowhere.h5"),
        (["xrf", "miniature:0", "--out", "x", "--treshold", "0.5"], "did you mean 'threshold'?"),
    ],
)
def test_mistakes_are_explained(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(args)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_an_error_names_the_image(tmp_path, capsys):
    Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "flat.png")
    with pytest.raises(SystemExit):
        main(["xrf", str(tmp_path / "flat.png"), "--out", str(tmp_path / "out")])
    assert "flat.png: the image has 1 distinct colours" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_help_names_the_kinds(capsys):
    main(["--help"])
    assert "KIND: xrf, nebulae, degrade;" in capsys.readouterr().out


SMALL = ["--size", "20", "--bins", "128", "--spectra", "700", "200", "100"]


@pytest.fixture(scope="module")
def nebulae(tmp_path_factory):
    out = tmp_path_factory.mktemp("nebulae")
    main(["nebulae", "preset:paper", "nebula:3", "--out", str(out), *SMALL, "--seed", "6", "--velocity", "0", "0"])
    return out


def test_nebulae_are_shards_and_cubes_with_their_labels(nebulae):
    names = {"shards", "truth.h5", "test_cube.h5", "test_cube.png", "nebula_03.h5", "nebula_03.png"}
    assert {p.name for p in nebulae.iterdir()} == names
    shards = ShardSet(nebulae / "shards")
    assert {split: shards.rows(split) for split in shards.splits} == {"train": 700, "val": 200, "test": 100}
    assert shards.labelled
    assert shards.parameters["velocity"] == [0, 0]
    assert np.bincount(shards.read("train", 0, 700).label)[1:].min() > 200
    with read_cube(nebulae / "test_cube.h5") as cube:
        assert cube.shape == (20, 20, 128)
        assert cube.axis.matches(shards.axis)
    with h5py.File(nebulae / "test_cube.h5") as file:
        np.testing.assert_array_equal(file["label"], draw_nebula(0, 20)[1])
        assert file.attrs["seed"] == 6
        assert file.attrs["source"] == "nebula:0"
        assert file.attrs["velocity"] == "0.0, 0.0"
        assert 30 < file.attrs["psnr"] < 60
    with h5py.File(nebulae / "nebula_03.h5") as file:
        assert file.attrs["seed"] == 7


def test_the_same_nebulae_again(nebulae, tmp_path, capsys):
    main(["nebulae", "preset:paper", "--out", str(tmp_path), *SMALL, "--seed", "6", "--velocity", "0", "0"])
    assert "81% background, 13% HII region" in capsys.readouterr().out
    first, again = (ShardSet(folder / "shards") for folder in (nebulae, tmp_path))
    assert first.entries("train")[0].checksum == again.entries("train")[0].checksum
    with h5py.File(nebulae / "test_cube.h5") as one, h5py.File(tmp_path / "test_cube.h5") as other:
        np.testing.assert_array_equal(one["img"], other["img"])


def test_a_seed_image_of_ones_own_and_no_spectra(tmp_path):
    rgb, labels = draw_nebula(4, 18)
    Image.fromarray(rgb).save(tmp_path / "mine.png")
    out = tmp_path / "out"
    main(["nebulae", str(tmp_path / "mine.png"), "--out", str(out), "--spectra", "0", "0", "0", "--binning", "paper"])
    assert sorted(p.name for p in out.iterdir()) == ["mine.h5", "mine.png"]
    with h5py.File(out / "mine.h5") as file:
        np.testing.assert_array_equal(file["label"], labels)
        assert file["axis"][-1] == pytest.approx(7308.125)


def test_spectra_are_not_written_over_by_accident(nebulae, capsys):
    again = ["nebulae", "preset:paper", "--out", str(nebulae), *SMALL]
    with pytest.raises(SystemExit):
        main(again)
    assert "holds a set of shards; choose another one or give overwrite" in capsys.readouterr().err
    assert ShardSet(nebulae / "shards").seed == 6


def test_degrade(nebulae, tmp_path, capsys):
    main(["degrade", str(nebulae / "test_cube.h5"), "--out", str(tmp_path), "--levels", "0", "0.21", "0.45"])
    assert {p.name for p in tmp_path.iterdir()} == {"test_cube-0.h5", "test_cube-0.21.h5", "test_cube-0.45.h5"}
    assert "degradation 0.45" in capsys.readouterr().out
    with read_cube(nebulae / "test_cube.h5") as cube, read_cube(nebulae / "test_cube.h5", dataset="clean") as clean:
        before, truth = cube.read_rows(0, 20), clean.read_rows(0, 20)
    psnr = {}
    for level in ("0", "0.21", "0.45"):
        with read_cube(tmp_path / f"test_cube-{level}.h5") as cube:
            assert cube.axis.unit == "angstrom"
            psnr[level] = 10 * np.log10(truth.max() ** 2 / np.mean((cube.read_rows(0, 20) - truth) ** 2))
        with h5py.File(tmp_path / f"test_cube-{level}.h5") as file:
            np.testing.assert_array_equal(file["label"], draw_nebula(0, 20)[1])
            assert file.attrs["psnr"] == pytest.approx(psnr[level], abs=1e-3)
    assert 1 - psnr["0.21"] / psnr["0"] == pytest.approx(0.21, abs=0.003)
    assert 1 - psnr["0.45"] / psnr["0"] == pytest.approx(0.45, abs=0.003)
    np.save(tmp_path / "observed.npy", before)
    with pytest.raises(SystemExit):
        main(["degrade", str(tmp_path / "observed.npy"), "--out", str(tmp_path / "more")])
    assert "with --clean FILE:DATASET" in capsys.readouterr().err
    main(["degrade", str(tmp_path / "observed.npy"), "--out", str(tmp_path / "more"), "--levels", "[0.3]",
          "--clean", f"{nebulae / 'test_cube.h5'}:clean"])  # fmt: skip
    assert [p.name for p in (tmp_path / "more").iterdir()] == ["observed-0.3.h5"]


def test_degrade_all_files_of_a_folder_skips_the_record_of_the_shards(nebulae, tmp_path, capsys):
    files = [str(path) for path in sorted(nebulae.glob("*.h5"))]
    assert str(nebulae / "truth.h5") in files
    main(["degrade", *files, "--out", str(tmp_path), "--levels", "[0.3]"])
    assert {p.name for p in tmp_path.iterdir()} == {"nebula_03-0.3.h5", "test_cube-0.3.h5"}
    (line,) = capsys.readouterr().err.splitlines()
    assert "truth.h5: skipped: it holds no cube" in line
    with pytest.raises(SystemExit, match="2"):
        main(["degrade", str(nebulae / "truth.h5"), "--out", str(tmp_path / "none")])
    assert "expected cubes, got none" in capsys.readouterr().err


def test_the_papers_set_in_small(tmp_path, capsys):
    main(["xrf", "preset:paper", "--out", str(tmp_path), "--size", "20", "--mean_counts", "50"])
    shards = ShardSet(tmp_path / "shards")
    kept = int(0.2 * 20 * 20)
    assert [shards.rows(split) for split in ("train", "val", "test")] == [11 * kept, 4 * kept, 2 * kept]
    assert f"wrote {tmp_path / 'shards'}: {11 * kept} train, {4 * kept} val" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # and before the scans are made again
        main(["xrf", "preset:paper", "--out", str(tmp_path), "--size", "20"])
    assert "give overwrite" in capsys.readouterr().err


def test_shards_of_a_single_scan_are_blocks_of_it(image, tmp_path):
    main(["xrf", image, "--out", str(tmp_path), "--shards", "true"])
    shards = ShardSet(tmp_path / "shards")
    assert sum(shards.rows(split) for split in shards.splits) == 12 * 48
    assert set(shards.splits) == {"train", "val", "test"}
