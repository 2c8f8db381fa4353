"""References in every format, what they are taken for, and what is refused."""

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from scipy.io import savemat

from deepspec.errors import UserError
from deepspec.evaluation import fit_to_shape, merge_classes, read_mapping, read_reference
from tests.evaluation.made import bands, segmentation

VALUES = np.array([2, 5, 7])  # of the three classes
MAP = VALUES[bands(8, 12)].astype(np.uint8)


def write_png(path):
    Image.fromarray(MAP).save(path)


def write_palette(path):
    picture = Image.fromarray(MAP).convert("P")
    picture.putpalette([i for c in range(256) for i in (c, 255 - c, 7)])
    picture.save(path)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["label"], file["img"] = MAP, np.zeros((8, 12, 4))


WRITERS = {
    "grey.png": write_png,
    "palette.png": write_palette,
    "map.tif": write_png,
    "map.npy": lambda path: np.save(path, MAP.astype(np.float64)),
    "map.fits": lambda path: fits.writeto(path, MAP.astype(np.int16)),
    "map.mat:gt": lambda path: savemat(path, {"gt": MAP, "other": np.zeros((2, 2))}),
    "map.h5:label": write_hdf5,
}


@pytest.mark.parametrize("name", WRITERS)
def test_label_maps_of_every_format(name, tmp_path):
    WRITERS[name](tmp_path / name.split(":")[0])
    found = read_reference(tmp_path / name)
    np.testing.assert_array_equal(found.labels, bands(8, 12))
    assert found.names == ("2", "5", "7")
    assert found.kind == "labels"


def test_ignored_unknown_and_missing_values_have_no_class(tmp_path):
    values = MAP.astype(float)
    values[0, 0], values[0, 1] = np.nan, -1
    np.save(tmp_path / "a.npy", values)
    found = read_reference(tmp_path / "a.npy", ignore=7)
    assert found.names == ("2", "5")
    assert (found.labels[:, 8:] == -1).all()
    assert found.labels[0, :2].tolist() == [-1, -1]


def test_an_image_is_clustered_by_its_colours(tmp_path):
    rng = np.random.default_rng(0)
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 220]])
    truth = bands(40, 60, 4)
    rgb = np.clip(colours[truth] + rng.normal(0, 6, (40, 60, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    Image.fromarray(rgb).save(tmp_path / "a.jpg", quality=95)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rgb"] = rgb
    np.save(tmp_path / "a.npy", rgb / 255)
    for name in ("a.png", "a.jpg", "a.h5", "a.npy"):
        found = read_reference(tmp_path / name, k=(3, 8))
        assert found.kind == "image"
        assert len(found.names) == 4
        assert len({(a, b) for a, b in zip(found.labels.flat, truth.flat, strict=True)}) <= 4 + 2 * (name == "a.jpg")
        assert list(found.scores) == [3, 4, 5, 6, 7, 8]
        assert "K = 4 of 3 to 8" in found.notes[0]
        np.testing.assert_allclose(255 * found.colours[found.labels[0, 0]], colours[0], atol=12)


def test_coloured_label_maps(tmp_path):
    rgb = np.array([[10, 20, 30], [255, 0, 0], [0, 0, 255], [9, 9, 9]], np.uint8)[bands(8, 12, 4)]
    Image.fromarray(rgb).save(tmp_path / "a.png")
    assert "has only 4 colours: if each is a class, give --kind labels" in read_reference(tmp_path / "a.png").notes[1]
    found = read_reference(tmp_path / "a.png", kind="labels")
    assert set(found.names) == {"#0a141e", "#ff0000", "#0000ff", "#090909"}
    assert found.names[found.labels[0, 0]] == "#0a141e"


def test_a_grey_picture_taken_as_an_image(tmp_path):
    Image.fromarray((MAP * 30).astype(np.uint8)).save(tmp_path / "a.png")
    assert read_reference(tmp_path / "a.png", kind="image", k=(2, 3)).kind == "image"


def test_another_segmentation(tmp_path):
    made = segmentation()
    made.save(tmp_path / "segmentation.h5")
    for source in (tmp_path / "segmentation.h5", tmp_path):
        found = read_reference(source)
        np.testing.assert_array_equal(found.labels, made.labels)
        assert found.kind == "segmentation"


def test_labels_below_minus_one_are_refused_unless_ignored(tmp_path):
    values = MAP.astype(np.int32)
    values[0, :3] = -9999
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(UserError, match=r"a\.npy: .* got -9999 in 3 pixels; .* give --ignore -9999"):
        read_reference(tmp_path / "a.npy")
    assert (read_reference(tmp_path / "a.npy", ignore=-9999).labels[0, :3] == -1).all()


def test_what_is_refused(tmp_path):
    np.save(tmp_path / "half.npy", MAP + 0.5)
    np.save(tmp_path / "many.npy", np.arange(400).reshape(20, 20))
    np.save(tmp_path / "none.npy", np.full((4, 4), -1))
    np.save(tmp_path / "cube.npy", np.zeros((4, 4, 7)))
    np.save(tmp_path / "wide.npy", np.full((4, 4, 3), 9.5))
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    for name, match in {
        "half.npy": "whole numbers",
        "many.npy": "400 different values are too many",
        "none.npy": "got only -1 and what is ignored",
        "cube.npy": r"label map \(H, W\) or an image",
        "wide.npy": r"8 or 16 bits or in \[0, 1\]",
        "broken.jpg": "cannot be read as a picture",
        "missing.npy": "missing.npy",
    }.items():
        with pytest.raises(UserError, match=match):
            read_reference(tmp_path / name)
    np.save(tmp_path / "map.npy", MAP)
    with pytest.raises(UserError, match=r"expected an image \(H, W, 3\)"):
        read_reference(tmp_path / "map.npy", kind="image")


def reference(tmp_path, labels=MAP):
    np.save(tmp_path / "map.npy", labels)
    return read_reference(tmp_path / "map.npy")


def test_resampling_takes_the_nearest_pixel(tmp_path):
    small = reference(tmp_path)
    large = fit_to_shape(small, (16, 24), resample=True)
    np.testing.assert_array_equal(large.labels, np.kron(small.labels, np.ones((2, 2), int)))
    assert fit_to_shape(large, (8, 12), resample=True).labels.tolist() == small.labels.tolist()
    assert "resampled from 8 x 12 to 16 x 24" in large.notes[0]
    assert len(large.notes) == 1
    assert "it was stretched" in fit_to_shape(small, (8, 24), resample=True).notes[1]
    assert fit_to_shape(small, (8, 12), resample=False) is small
    assert fit_to_shape(small, (3, 5), resample=True).labels.shape == (3, 5)


def test_another_size_is_refused_unless_told(tmp_path):
    with pytest.raises(UserError, match="has 8 x 12 pixels, the segmentation 9 x 9: --resample true"):
        fit_to_shape(reference(tmp_path), (9, 9), resample=False)
    with pytest.raises(UserError, match="turn it by 90 degrees"):
        fit_to_shape(reference(tmp_path), (12, 8), resample=False)


@pytest.mark.parametrize("resample", [False, True])
def test_two_pictures_side_by_side_are_no_reference_that_resampling_helps(tmp_path, resample):
    if resample:  # the user insists: the picture may be twice as wide for another reason
        assert fit_to_shape(reference(tmp_path), (8, 6), resample=True).labels.shape == (8, 6)
        return
    with pytest.raises(UserError, match=r"two pictures side by side, as synthesize draws .* NAME.h5:label"):
        fit_to_shape(reference(tmp_path), (8, 6), resample=False)


def test_classes_are_merged_and_it_is_said(tmp_path):
    (tmp_path / "map.yaml").write_text("iron earths: [2, 7]\n")
    labels = MAP.copy()
    labels[0, 0] = 200
    before = reference(tmp_path, labels)
    found = merge_classes(before, read_mapping(tmp_path / "map.yaml"))
    assert found.names == ("iron earths", "5", "200")
    expected = np.where(labels == 5, 1, np.where(labels == 200, 2, 0))
    np.testing.assert_array_equal(found.labels, expected)
    assert found.notes[-1] == "classes 2, 7 were merged into 'iron earths' before matching"


def test_merging_keeps_what_has_no_class(tmp_path):
    values = MAP.astype(int)
    values[1, 1] = -1
    found = merge_classes(reference(tmp_path, values), {"all": ["2", "5", "7"]})
    assert found.names == ("all",)
    assert found.labels[1, 1] == -1
    assert (found.labels == 0).sum() == values.size - 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: [2, 9]", "there is no class '9' in .*it has 2, 5, 7"),
        ("a: [2, 5]\nb: [5, 7]", "class '5' is in 'a' and again in 'b'"),
        ("7: [2, 5]", "'7' is a class that is not in its own list"),
        ("a: 2", "expected lines of NEW"),
        ("a: []", "expected lines of NEW"),
        ("[1, 2", "not a YAML file"),
    ],
)
def test_wrong_mappings_are_refused(text, match, tmp_path):
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(UserError, match=match):
        merge_classes(reference(tmp_path), read_mapping(tmp_path / "map.yaml"))
