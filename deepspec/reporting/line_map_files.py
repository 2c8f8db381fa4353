"""Line maps for other programs and for people: TIFF, FITS, a picture of all, and the folder that `maps` writes.

Shapes: H rows, W columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deepspec.drawing import FONT_SIZE, IMAGE_COLOURS, NO_CLUSTER, grid_figure, panel_height, save_figure
from deepspec.errors import UserError
from deepspec.files import MAPS, complete_folder, complete_or_absent

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io.fits import Header
    from matplotlib.figure import Figure
    from PIL.Image import Image as Picture

    from deepspec.line_maps import LineMap, LineMaps

MAP_EXPORTS = ("tiff", "fits", "svg", "pdf")
"""What `maps --export` can ask for."""

_DIVERGING = "RdBu_r"
_COLUMNS = 4


def parse_map_exports(text: str, *, is_fits: bool) -> frozenset[str]:
    """What a text asks to be written beside maps.h5 and maps.png.

    Args:
        text: some of `MAP_EXPORTS` with commas between; auto: tiff, and fits of a FITS cube; none; all.
        is_fits: whether the cube is a FITS file.

    Raises:
        UserError: an unknown name.

    >>> sorted(parse_map_exports("auto", is_fits=True))
    ['fits', 'tiff']
    """
    if text == "auto":
        return frozenset({"tiff", "fits"} if is_fits else {"tiff"})
    if text == "all":
        return frozenset(MAP_EXPORTS)
    names = frozenset(part.strip() for part in text.split(",")) - {"", "none"}
    if unknown := sorted(names.difference(MAP_EXPORTS)):
        raise UserError(f"export '{unknown[0]}': expected auto, none, all, or some of {', '.join(MAP_EXPORTS)}")
    return names


def write_maps_folder(maps: LineMaps, folder: Path, exports: frozenset[str], header: Header | None) -> None:
    """Write maps.h5, maps.png and the exports into a folder, which appears when it is complete.

    Args:
        maps: what to write.
        folder: what it held before is replaced.
        exports: of `MAP_EXPORTS`.
        header: world coordinates of the image, for FITS.
    """
    with complete_folder(folder) as part:
        maps.save(part / MAPS)
        figure = draw_maps(maps)
        for kind in ("png", *(name for name in ("svg", "pdf") if name in exports)):
            save_figure(figure, part / f"maps.{kind}")
        if "tiff" in exports:
            for each in maps.maps:
                save_map_tiffs(each, part)
        if "fits" in exports:
            save_maps_fits(maps, part / "maps.fits", header)


def is_maps_file(name: str) -> bool:
    """Whether a file may be one that `write_maps_folder` wrote."""
    return name in {MAPS, "maps.png", "maps.svg", "maps.pdf", "maps.fits"} or name.endswith(".tif")


def save_map_tiffs(each: LineMap, folder: Path) -> None:
    """A map and its errors as TIFF of float32 (H, W), NAME.tif and NAME-error.tif."""
    for word, values in (("", each.values), ("-error", each.errors)):
        what = "standard deviation of " if word else ""
        picture = _picture(values, f"deepspec {what}{each.name}: {each.quantity}, {each.unit}")
        with complete_or_absent(folder / f"{each.file_name}{word}.tif") as part:
            picture.save(part, format="TIFF", **picture.encoderinfo)


def save_maps_tiff(maps: LineMaps, path: Path) -> None:
    """All maps in one TIFF, a page of float32 (H, W) for each, whose description has its name and unit."""
    first, *more = [_picture(each.values, f"deepspec {each.name}: {each.quantity}, {each.unit}") for each in maps.maps]
    with complete_or_absent(path) as part:
        first.save(part, format="TIFF", save_all=True, append_images=more, **first.encoderinfo)


def _picture(values: np.ndarray, description: str) -> Picture:
    from PIL import Image, TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = description.translate(_PLAIN).encode("ascii", "replace").decode()
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    picture.encoderinfo = {"tiffinfo": tags, "compression": "tiff_adobe_deflate"}
    return picture


_PLAIN = str.maketrans({"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "±": "+-"})


def save_maps_fits(maps: LineMaps, path: Path, header: Header | None = None) -> None:
    """Maps as FITS: an image of float32 for each, then one of its errors, named as in `FE K` and `FE K ERROR`.

    Args:
        maps: what to write.
        path: name of the file.
        header: world coordinates of the image, see `celestial_header`.
    """
    from astropy.io import fits

    first = fits.PrimaryHDU()
    first.header["ORIGIN"] = (f"deepspec {maps.origin.get('deepspec', '')}".strip(), "software that made the maps")
    first.header["CUBESHA"] = maps.origin.get("cube_sha256", "")
    units = [first]
    for each in maps.maps:
        for word, values in (("", each.values), (" ERROR", each.errors)):
            name = each.name.translate(_PLAIN)
            unit = fits.ImageHDU(values, header, name=f"{name}{word}")
            unit.header["BUNIT"] = each.unit
            unit.header["BTYPE"] = each.quantity if not word else f"standard deviation of {each.quantity}"
            unit.header["LINE"] = (each.position, f"position of the line, {maps.axis_unit}")
            units.append(unit)
    with complete_or_absent(path) as part:
        fits.HDUList(units).writeto(part, overwrite=True)


def draw_maps(maps: LineMaps) -> Figure:
    """All maps, each with its own scale; velocities in two colours about zero."""
    columns = min(3 if maps.kind == "emission" else _COLUMNS, len(maps.maps))
    width, gap = 2.3, 0.75
    height = panel_height(maps.shape, width, 0.5, 4.0)
    rows = math.ceil(len(maps.maps) / columns)
    figure, grid = grid_figure(rows, [width] * columns, height, gaps=(gap, 0.4), margins=(0.1, gap, 0.1, 0.35))
    for axes, each in zip(grid.flatten(), maps.maps, strict=False):
        low, high = limits(each)
        colours = _DIVERGING if each.quantity == "velocity" else IMAGE_COLOURS
        shown = axes.imshow(each.values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axes.set_facecolor(NO_CLUSTER)
        unit = f" ({each.unit})" if len(each.unit) < 12 else ""
        axes.set_title(f"{each.name}{unit}", fontsize=FONT_SIZE)
        axes.set_xticks([])
        axes.set_yticks([])
        bar = figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.05, 1)), extend="both")
        bar.ax.tick_params(labelsize=FONT_SIZE - 2)
        bar.ax.yaxis.get_offset_text().set_fontsize(FONT_SIZE - 2)
    for axes in grid.flatten()[len(maps.maps) :]:
        axes.remove()
    return figure


def limits(each: LineMap) -> tuple[float, float]:
    """What a picture of a map reaches from and to: half a percent of the pixels may lie beyond either end.

    Amounts begin at 0, velocities lie about it, and what is noise alone is not stretched over all colours.
    """
    known = each.values[np.isfinite(each.values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, [0.5, 99.5]))
    if each.quantity == "velocity":
        most = max(abs(low), abs(high), 1e-6)
        return -most, most
    noise = float(np.nanmedian(each.errors)) if np.isfinite(each.errors).any() else 0.0
    if "dispersion" not in each.quantity:
        low, high = min(low, 0.0), max(high, 3 * noise)
    return (low, high) if high > low else (low - 0.5, low + 0.5)
