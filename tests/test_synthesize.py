import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from PIL import Image

from deepspec.synthesize import main
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
        }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "the first word names what to synthesize: expected xrf, got nothing"),
        (["xrff", "a.png"], "expected xrf, got 'xrff'"),
        (["xrf", "nowhere.png", "--out", "x"], "nowhere.png: not found"),
        (["xrf", "miniature:0", "--out", "x", "--keep", "0"], "keep=0.0: expected a share above 0"),
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
    assert "KIND: xrf" in capsys.readouterr().out
