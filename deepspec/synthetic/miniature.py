"""Procedural miniatures: pages of an illuminated manuscript, painted in the colours of one palette.

Stand-ins for photographs of choir books, which have owners. Each has a parchment page with text, a framed scene
(sky, hills, buildings, figures with haloes), an initial with foliage and a border.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from deepspec.synthetic.pigments import load_pigments

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[int, int, int]

# What may fill each role; a palette has at least one of each.
ROLES = {
    "blue": ("azurite", "ultramarine"),
    "robe": ("vermilion", "red lake", "azurite", "ultramarine", "malachite", "verdigris", "lead-tin yellow",
             "orpiment"),
    "red": ("vermilion", "red lead", "red lake"),
    "green": ("malachite", "verdigris", "copper sulphate green", "green earth", "vergaut"),
    "wall": ("red ochre", "yellow ochre", "red lake", "lead white", "umber"),
    "gold": ("gold",),
    "white": ("lead white",),
    "ink": ("iron-gall ink", "carbon black"),
}  # fmt: skip
_OVERSAMPLING = 2


def miniature_palette(number: int) -> int:
    """Number of the palette, 1 to 7, that a miniature is painted with."""
    return 1 + number % 7


def draw_miniature(number: int, size: int = 512) -> NDArray[np.uint8]:
    """Draw a miniature.

    Args:
        number: which one, from 0 on; the same number gives the same picture.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    page = _Page(np.random.default_rng(np.random.SeedSequence(number, spawn_key=(2,))), miniature_palette(number), size)
    page.text()
    page.border()
    page.scene()
    page.initial()
    return page.finish()


class _Page:
    """A page being painted; coordinates run from 0 to 1, right and down."""

    def __init__(self, rng: np.random.Generator, palette: int, size: int) -> None:
        self.rng, self.size = rng, size
        self.side = size * _OVERSAMPLING
        table = load_pigments().select(palette)
        self.pigments: dict[str, Colour] = {
            name: (int(r), int(g), int(b)) for name, (r, g, b) in zip(table.names, table.srgb, strict=True)
        }
        self.bottom = rng.uniform(0.60, 0.76)  # of the scene; the text has the rest of the page
        self.image = Image.new("RGB", (self.side, self.side), self.pigments["parchment"])
        self.draw = ImageDraw.Draw(self.image)

    def colour(self, role: str) -> Colour:
        """One of the palette's pigments that fit a role."""
        fitting = [self.pigments[name] for name in ROLES[role] if name in self.pigments]
        return fitting[self.rng.integers(len(fitting))]

    def polygon(self, points: NDArray[np.float64], colour: Colour) -> None:
        self.draw.polygon([tuple(p) for p in points * self.side], fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        self.polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, flatten: float = 1.0) -> None:
        turn = np.linspace(0, 2 * np.pi, 60)
        self.polygon(np.stack([x + radius * np.cos(turn), y + flatten * radius * np.sin(turn)], axis=1), colour)

    def leaf(self, x: float, y: float, length: float, angle: float, colour: Colour) -> None:
        along = np.linspace(0, 1, 20)
        width = 0.3 * length * np.sin(np.pi * along)
        outline = np.concatenate(
            [np.stack([along * length, width], axis=1), np.stack([along * length, -width], axis=1)[::-1]]
        )
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self.polygon(outline @ turn + [x, y], colour)

    def text(self) -> None:
        """Lines of words below the scene, with a red rubric."""
        ink, red = self.colour("ink"), self.colour("red")
        for line, y in enumerate(np.arange(self.bottom + 0.075, 0.93, 0.035)):
            x = 0.12
            while x < 0.84:
                word = self.rng.uniform(0.02, 0.07)
                for stroke in np.arange(x, x + word, 0.011):
                    self.box(stroke, y - self.rng.uniform(0.016, 0.022), stroke + 0.006, y, red if line == 0 else ink)
                x += word + 0.02

    def border(self) -> None:
        """A vine with leaves and gold berries along three sides."""
        green, red, blue, gold = (self.colour(role) for role in ("green", "red", "blue", "gold"))
        phase, waves = self.rng.uniform(0, 2 * np.pi), self.rng.integers(4, 8)
        along = np.linspace(0.04, 0.96, 120)
        sway = 0.02 * np.sin(2 * np.pi * waves * along + phase)
        sides = (
            np.stack([0.05 + sway, along], axis=1),
            np.stack([along, 0.05 + sway], axis=1),
            np.stack([0.95 + sway, along], axis=1),
        )
        for side in sides:
            self.draw.line([tuple(p) for p in side * self.side], fill=green, width=max(1, self.side // 110))
            for i, (x, y) in enumerate(side[4:-4:6]):
                self.leaf(x, y, 0.045, self.rng.uniform(0, 2 * np.pi), (green, red, blue)[i % 3])
                if i % 3 == 1:
                    self.disc(x + self.rng.uniform(-0.02, 0.02), y, 0.013, gold)

    def scene(self) -> None:
        """A framed landscape with buildings and figures."""
        self.box(0.09, 0.09, 0.91, self.bottom + 0.03, self.colour("gold"))
        self.box(0.105, 0.105, 0.895, self.bottom + 0.015, self.colour("red"))
        left, top, right, bottom = 0.12, 0.12, 0.88, self.bottom
        self._sky(left, top, right, bottom)
        for depth in range(2):
            x = np.linspace(left, right, 80)
            wave = np.sin(2 * np.pi * (self.rng.uniform(0.8, 1.6) * x + self.rng.uniform()))
            y = 0.45 + 0.09 * depth + 0.03 * wave
            hill = np.concatenate([np.stack([x, y], axis=1), [[right, bottom], [left, bottom]]])
            self.polygon(hill, self.colour("green"))
        for _ in range(self.rng.integers(1, 3)):
            self._building(self.rng.uniform(left + 0.3, right - 0.16), self.rng.uniform(0.28, 0.38), 0.5)
        figures = self.rng.integers(2, 4)
        for i in range(figures):
            self._figure(0.47 + 0.33 * (i + self.rng.uniform(0.2, 0.8)) / figures, bottom, self.rng.uniform(0.24, 0.3))

    def _sky(self, left: float, top: float, right: float, bottom: float) -> None:
        deep, pale = self.colour("blue"), self.colour("white")
        edges = np.linspace(top, bottom, 41)
        for i, (upper, lower) in enumerate(itertools.pairwise(edges)):
            self.box(left, upper, right, lower + 0.002, _mixed(deep, pale, 0.75 * min(1.0, i / 28)))

    def _building(self, x: float, top: float, bottom: float) -> None:
        wall, roof, ink = self.colour("wall"), self.colour("red"), self.colour("ink")
        self.box(x, top, x + 0.14, bottom, wall)
        self.polygon(np.array([[x - 0.015, top], [x + 0.07, top - 0.07], [x + 0.155, top]]), roof)
        for column in range(3):
            self.box(x + 0.02 + 0.042 * column, top + 0.03, x + 0.036 + 0.042 * column, top + 0.07, ink)

    def _figure(self, x: float, foot: float, height: float) -> None:
        robe, mantle = self.colour("robe"), self.colour("robe")
        head = foot - height
        flesh = _mixed(self.colour("white"), self.pigments["vermilion"], 0.28)
        self.disc(x, head, 0.052, self.colour("gold"))
        self.polygon(
            np.array([[x - 0.03, head + 0.03], [x + 0.03, head + 0.03], [x + 0.085, foot], [x - 0.085, foot]]), robe
        )
        self.polygon(np.array([[x - 0.03, head + 0.03], [x, head + 0.03], [x - 0.02, foot], [x - 0.095, foot]]), mantle)
        self.disc(x, head + 0.008, 0.03, flesh, flatten=1.25)
        self.disc(x, head - 0.02, 0.027, self.colour("wall"), flatten=0.7)
        self.disc(x + 0.045, head + 0.13, 0.014, flesh)

    def initial(self) -> None:
        """A letter with a round bowl and foliage on a gilded field."""
        x, y, side = 0.13, self.rng.uniform(0.16, self.bottom - 0.32), 0.27
        field, letter, green = self.colour("blue"), self.colour("red"), self.colour("green")
        self.box(x - 0.015, y - 0.015, x + side + 0.015, y + side + 0.015, self.colour("gold"))
        self.box(x, y, x + side, y + side, field)
        middle = (x + side / 2, y + side / 2)
        self.disc(*middle, 0.12, letter)
        self.disc(*middle, 0.08, field)
        if self.rng.uniform() < 0.5:  # the letter D rather than O
            self.box(x + 0.01, y + 0.015, x + 0.06, y + side - 0.015, letter)
        for angle in np.arange(0, 2 * np.pi, np.pi / 3) + self.rng.uniform(0, 1):
            self.leaf(*middle, 0.075, angle, green)
        self.disc(*middle, 0.02, self.colour("gold"))

    def finish(self) -> NDArray[np.uint8]:
        """Shade and grain, as of brush strokes, uneven parchment and a camera."""
        flat = np.asarray(self.image.resize((self.size, self.size), Image.Resampling.LANCZOS), dtype=np.float64)
        shade = np.zeros((self.size, self.size))
        for scale, strength in ((0.06, 0.05), (0.012, 0.04)):
            field = gaussian_filter(self.rng.normal(size=shade.shape), scale * self.size)
            shade += strength * field / field.std()
        if self.rng.uniform() < 0.5:
            flat = flat[:, ::-1]
        grain = self.rng.normal(0.0, 3.0, size=flat.shape)
        return np.clip(flat * (1.0 + shade[..., None]) + grain, 0, 255).astype(np.uint8)


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (int((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return red, green, blue
