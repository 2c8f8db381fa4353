import numpy as np
import pytest

from deepspec.synthetic.miniature import ROLES, draw_miniature, miniature_palette
from deepspec.synthetic.mixture import colour_distance
from deepspec.synthetic.pigments import load_pigments


def test_the_same_number_gives_the_same_picture():
    np.testing.assert_array_equal(draw_miniature(3, 64), draw_miniature(3, 64))
    assert not np.array_equal(draw_miniature(3, 64), draw_miniature(10, 64))  # of the same palette


def test_shape_and_type():
    image = draw_miniature(0, 48)
    assert image.shape == (48, 48, 3)
    assert image.dtype == np.uint8


def test_the_seven_palettes_take_turns():
    assert [miniature_palette(n) for n in range(8)] == [1, 2, 3, 4, 5, 6, 7, 1]


@pytest.mark.parametrize("palette", range(1, 8))
def test_every_palette_can_fill_every_role(palette):
    names = set(load_pigments().select(palette).names)
    for role, fitting in ROLES.items():
        assert names & set(fitting), role


@pytest.mark.parametrize("number", range(7))
def test_pages_show_their_palette(number):
    image = draw_miniature(number, 128)
    table = load_pigments().select(miniature_palette(number))
    pixels = image.reshape(-1, 3)[::7] / 255
    distance = colour_distance(pixels, table.srgb / 255)
    # shading and pale sky move colours, yet most pixels stay near a pigment of the palette
    assert np.median(distance.min(axis=1)) < 10
    # parchment, blue, gold and a red are all there
    nearest = {table.names[i] for i in distance.argmin(axis=1)}
    assert {"parchment", "gold"} <= nearest
    assert nearest & set(ROLES["blue"])
    assert nearest & set(ROLES["red"])
