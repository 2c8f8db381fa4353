"""What all figures share: colours of clusters, sizes of panels, scales, how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepspec.files import complete_or_absent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

DPI = 150

FONT_SIZE = 9

FORMATS = ("png", "svg", "pdf")
"""Of the files of figures."""

IMAGE_COLOURS = "cividis"
"""For images of values: the same to every kind of colour vision, and light where there is more."""

NO_CLUSTER = "#d9d9d9"

# Okabe & Ito (2008), then darker ones of Tol (2021): told apart with any kind of colour vision.
_CLUSTERS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#56b4e9",
    "#f0e442",
    "#cc79a7",
    "#332288",
    "#882255",
    "#999933",
)

Scale = Literal["auto", "linear", "sqrt", "log"]


def cluster_colours(k: int) -> list[str]:
    """Colours of k clusters; beyond ten they are evenly spaced on a rainbow, for there are no more to tell apart."""
    if k <= len(_CLUSTERS):
        return list(_CLUSTERS[:k])
    rainbow = colormaps["turbo"](np.linspace(0.02, 0.98, k))
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in (rainbow[:, :3] * 255).astype(int).tolist()]


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches with a canvas of its own, apart from any state of pyplot."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_figure(
    rows: int,
    widths: Sequence[float],
    height: float,
    *,
    gaps: tuple[float, float],
    margins: tuple[float, float, float, float],
) -> tuple[Figure, NDArray[Any]]:
    """A figure of panels in fixed places. To have matplotlib find the places takes longer than to draw.

    Args:
        rows: of panels.
        widths: of each column of panels, in inches like all that follow.
        height: of each panel.
        gaps: between columns and between rows.
        margins: left, right, bottom and top of all panels.

    Returns:
        The figure, and its axes (rows, columns).
    """
    left, right, bottom, top = margins
    width = left + sum(widths) + gaps[0] * (len(widths) - 1) + right
    total = bottom + rows * height + gaps[1] * (rows - 1) + top
    figure = Figure(figsize=(width, total), dpi=DPI)
    FigureCanvasAgg(figure)
    places = {
        "left": left / width,
        "right": 1 - right / width,
        "bottom": bottom / total,
        "top": 1 - top / total,
        "wspace": gaps[0] * len(widths) / sum(widths),
        "hspace": gaps[1] / height,
    }
    return figure, figure.subplots(rows, len(widths), squeeze=False, width_ratios=widths, gridspec_kw=places)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, which appears under its name when complete.

    Args:
        figure: to write.
        path: its suffix says as what: .png, .svg or .pdf; images within a vector graphic stay images.

    Raises:
        ValueError: for another suffix.
    """
    kind = path.suffix[1:]
    if kind not in FORMATS:
        raise ValueError(f"{path.name}: expected a figure's name to end in one of {', '.join(FORMATS)}")
    # To compress harder takes longer than to draw, for an eighth of the size.
    quick: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if kind == "png" else {}
    with complete_or_absent(path) as part:
        figure.savefig(part, format=kind, dpi=DPI, **quick)


def panel_height(shape: tuple[int, ...], width: float, lowest: float = 1.0, highest: float = 8.0) -> float:
    """Height in inches of an image panel of the given width, for images of any proportion."""
    return float(np.clip(width * shape[0] / shape[1], lowest, highest))


def set_intensity_scale(axes: Axes, scale: Scale, spectra: NDArray[np.float64]) -> None:
    """Scale the y axis; auto is a square root where peaks tower above the mean, as in X-ray fluorescence.

    Args:
        axes: whose y axis.
        scale: how.
        spectra: what is drawn, for auto.
    """
    if scale == "auto":
        finite = spectra[np.isfinite(spectra)]
        towering = finite.size > 0 and finite.max() > 10 * np.abs(finite).mean()
        scale = "sqrt" if towering else "linear"
    if scale == "sqrt":
        axes.set_yscale("function", functions=(_signed_root, _signed_square))
    else:
        axes.set_yscale(scale)
    if scale != "log":
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def _signed_root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.square(values)
