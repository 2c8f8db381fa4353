import numpy as np
import pytest
from PIL import Image

from deepspec.errors import UserError
from deepspec.synthetic.mixture import colour_distance
from deepspec.synthetic.nebula_image import CLASS_COLOURS, draw_nebula, list_nebulae, load_nebula, nearest_class


@pytest.mark.parametrize("size", [16, 48, 128])
def test_every_class_is_there_and_its_colour_says_so(size):
    rgb, labels = draw_nebula(1, size)
    assert rgb.shape == (size, size, 3)
    assert rgb.dtype == np.uint8
    share = np.bincount(labels.ravel(), minlength=4) / labels.size
    assert (share > 0).all()
    assert share[0] > 0.5
    np.testing.assert_array_equal(nearest_class(rgb), labels)


def test_the_number_is_the_picture():
    np.testing.assert_array_equal(draw_nebula(2, 32)[0], draw_nebula(2, 32)[0])
    assert not np.array_equal(draw_nebula(2, 32)[1], draw_nebula(3, 32)[1])


def test_similarities_of_the_colours_are_those_of_ganx():
    similarity = 1 - colour_distance(CLASS_COLOURS, CLASS_COLOURS) / 101
    expected = {(1, 3): 0.476, (2, 3): 0.176, (1, 2): 0.142, (0, 1): 0.501, (0, 3): 0.607, (0, 2): 0.130}
    for pair, value in expected.items():
        assert similarity[pair] == pytest.approx(value, abs=0.001)


def test_sources(tmp_path):
    Image.fromarray(draw_nebula(0, 20)[0]).save(tmp_path / "field.png")
    found = list_nebulae(["preset:paper", "nebula:7", str(tmp_path)])
    assert found == {"test_cube": "nebula:0", "nebula_07": "nebula:7", "field": str(tmp_path / "field.png")}
    rgb, labels = load_nebula(found["field"], 64)
    np.testing.assert_array_equal(rgb, draw_nebula(0, 20)[0])  # smaller images are kept as they are
    np.testing.assert_array_equal(labels, draw_nebula(0, 20)[1])
    np.testing.assert_array_equal(load_nebula("nebula:7", 24)[1], draw_nebula(7, 24)[1])


@pytest.mark.parametrize(
    ("sources", "message"),
    [(["nebula:x"], "expected nebula:N"), (["nebula:1", "nebula:01"], "two images are called 'nebula_01'"),
     (["nowhere.png"], "nowhere.png: not found")],
)  # fmt: skip
def test_mistakes(sources, message):
    with pytest.raises(UserError, match=message):
        list_nebulae(sources)


def test_too_small():
    with pytest.raises(UserError, match="size=8: expected at least 16"):
        load_nebula("nebula:0", 8)
