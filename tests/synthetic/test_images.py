import numpy as np
import pytest
from PIL import Image

from deepspec.errors import UserError
from deepspec.synthetic.images import list_images, load_image


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.jpg", "notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            Image.new("RGB", (64, 32), (10, 200, 30)).save(tmp_path / name)
    return tmp_path


def test_folders_are_listed_by_name(folder):
    assert list_images([str(folder)]) == {"a": str(folder / "a.jpg"), "b": str(folder / "b.png")}


def test_all_kinds_of_sources(folder):
    found = list_images([str(folder / "b.png"), "sklearn:china", "miniature:7"])
    assert found == {"b": str(folder / "b.png"), "china": "sklearn:china", "miniature_07": "miniature:7"}


def test_the_papers_split():
    names = list(list_images(["preset:paper"]))
    assert [sum(name.startswith(split) for name in names) for split in ("train", "val", "test")] == [11, 4, 2]
    assert names[0] == "train_00"
    assert names[-1] == "test_01"
    assert len(set(list_images(["preset:paper"]).values())) == 17


@pytest.mark.parametrize(("size", "shape"), [(32, (16, 32)), (None, (32, 64)), (100, (32, 64))])
def test_large_images_are_reduced_and_small_ones_kept(folder, size, shape):
    image = load_image(str(folder / "b.png"), size)
    assert image.shape == (*shape, 3)
    assert image.dtype == np.uint8
    assert tuple(image[5, 5]) == (10, 200, 30)


def test_grey_images_and_transparency_become_rgb(tmp_path):
    Image.new("L", (20, 20), 77).save(tmp_path / "grey.png")
    Image.new("RGBA", (20, 20), (1, 2, 3, 128)).save(tmp_path / "clear.png")
    assert load_image(str(tmp_path / "grey.png")).shape == (20, 20, 3)
    assert tuple(load_image(str(tmp_path / "clear.png"))[0, 0]) == (1, 2, 3)


def test_photographs_of_scikit_learn():
    assert load_image("sklearn:flower", 64).shape == (43, 64, 3)


def test_mistakes_are_explained(folder):
    with pytest.raises(UserError, match=r"nowhere\.png: not found; expected an image file"):
        list_images(["nowhere.png"])
    with pytest.raises(UserError, match="miniature:x: expected miniature:N"):
        list_images(["miniature:x"])
    with pytest.raises(UserError, match="two images are called 'a'"):
        list_images([str(folder), str(folder / "a.jpg")])
    with pytest.raises(UserError, match="cannot be read as an image"):
        load_image(str(folder / "notes.txt"))
    with pytest.raises(UserError, match="size=4: expected at least 16"):
        load_image("miniature:0", 4)
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no image in this folder"):
        list_images([str(folder / "empty")])
