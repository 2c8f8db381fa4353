"""Spectra of the clusters, alone and over the flattened cube (figures 4, 9 and 10 of the paper).

The flattened cube has a row for each pixel and a column for each channel.

Shapes: M pixels of the sample, D channels.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.image import AxesImage

from deepspec.drawing import (
    FONT_SIZE,
    IMAGE_COLOURS,
    Scale,
    grid_figure,
    panel_height,
    set_intensity_scale,
)
from deepspec.reporting.map_figures import draw_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.candidate import LabelledPeak
    from deepspec.segmentation import Segmentation

    Labels = Sequence[Sequence[LabelledPeak]]


_COLUMNS = 240
"""Of the image: two pixels of a panel each, more of which would make large files of noise."""

_TRUE: dict[str, Any] = {"color": "#7f7f7f", "linewidth": 2.2, "label": "mean of the measured spectra"}

_RECONSTRUCTED: dict[str, Any] = {"color": "#d55e00", "linewidth": 1.0, "label": "mean of the decoded spectra"}

_CENTRE: dict[str, Any] = {
    "color": "#0072b2",
    "linewidth": 1.0,
    "linestyle": (0, (4, 2)),
    "label": "decoded mean latent",
}

_WIDE = 26
"""Letters of a line that fit over the picture of a cluster in `cluster_rows`."""

_ON_DARK = ("#ffffff", "#e69f00", "#56b4e9")
"""Colours of the three where they lie on a dark image."""

MOST_LABELS = 10
"""Peaks that are named in a panel; the report names them all."""


def flattened_image(axis: SpectralAxis, values_MD: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours (M, columns, 4) of spectra on a uniform grid over the axis, square roots of their values.

    Args:
        axis: of the channels.
        values_MD: (M, D) spectra or differences.

    Returns:
        A column shows the largest of the channels that it covers, so that no peak is lost.
    """
    order = np.argsort(axis.values)
    places = np.linspace(axis.values[order[0]], axis.values[order[-1]], min(_COLUMNS, len(order)), endpoint=False)
    starts = np.searchsorted(axis.values[order], places)
    image = np.sign(values_MD) * np.sqrt(np.abs(values_MD))
    image = np.maximum.reduceat(image[:, order], starts, axis=1)
    bottom, top = np.nanpercentile(image, [1, 99.5])
    shade = np.clip((image - bottom) / (top - bottom if top > bottom else 1), 0, 1)
    colours: NDArray[np.uint8] = colormaps[IMAGE_COLOURS](shade, bytes=True)
    return colours


def draw_flattened(axes: Axes, image: NDArray[np.uint8], pixels: int) -> None:
    """Put such an image behind what is in a panel whose x axis has the limits of the spectral axis.

    Args:
        axes: the panel.
        image: of `flattened_image`.
        pixels: of the whole cube, to be written beside the image.
    """
    # Not a second pair of axes, which takes longer to draw than all the rest.
    behind = AxesImage(axes, extent=(0, 1, 0, 1), origin="upper", interpolation="nearest", zorder=0)
    behind.set_data(image)
    behind.set_transform(axes.transAxes)
    axes.add_image(behind)
    axes.text(
        1.005,
        0.5,
        f"pixels 0 to {pixels - 1}, downwards",
        transform=axes.transAxes,
        rotation=270,
        va="center",
        fontsize=FONT_SIZE - 4,
    )


def cluster_spectra(segmentation: Segmentation, scale: Scale = "auto", labels: Labels = ()) -> Figure:
    """One panel per cluster: mean measured, mean decoded and decoded mean (equations 9, 8 and 10).

    Args:
        segmentation: whose.
        scale: of the intensities.
        labels: peaks of each cluster, to name the highest.
    """
    figure, panels = _panels(segmentation)
    for cluster, axes in enumerate(panels):
        _draw_averages(axes, segmentation, cluster, scale)
        if labels and labels[cluster]:
            _make_room(axes)
            _name_peaks(axes, segmentation, cluster, labels[cluster])
    _add_legend(figure, panels[0])
    return figure


def averages_over_difference(segmentation: Segmentation, scale: Scale = "auto") -> Figure:
    """The same averages over |measured - decoded| of the flattened cube, a row for each pixel (figure 10).

    Args:
        segmentation: whose.
        scale: of the intensities.

    Raises:
        ValueError: the segmentation was saved by a version that kept no spectra of pixels.
    """
    if segmentation.sample is None:
        raise ValueError("expected a segmentation with a sample of its spectra, got one of an earlier version")
    difference = np.abs(segmentation.sample.input - segmentation.sample.reconstructed)
    image = flattened_image(segmentation.decoded_axis, difference)
    figure, panels = _panels(segmentation)
    for cluster, axes in enumerate(panels):
        _draw_averages(axes, segmentation, cluster, scale)
        for line, colour in zip(axes.lines, _ON_DARK, strict=True):
            line.set(color=colour, linewidth=1.0)
        draw_flattened(axes, image, segmentation.labels.size)
    _add_legend(figure, panels[0])
    figure.legends[0].get_frame().set_facecolor("#555555")
    figure.legends[0].set_frame_on(True)
    for text in figure.legends[0].get_texts():
        text.set_color("white")
    return figure


def cluster_rows(segmentation: Segmentation, scale: Scale = "auto") -> Figure:
    """One row per cluster: its pixels, its mean decoded and its mean measured spectrum, each over the flattened cube.

    Args:
        segmentation: whose.
        scale: of the intensities.
    """
    k, axis = segmentation.k, segmentation.decoded_axis
    height = panel_height(segmentation.labels.shape, 1.9, 1.2, 2.2)
    titles = [textwrap.fill(name, _WIDE) for name in segmentation.cluster_names]
    room = 0.15 * max(title.count("\n") for title in titles)  # for names given by hand that take more than a line
    figure, grid = grid_figure(
        k, [1.9, 3.2, 3.2], height, gaps=(0.45, 0.3 + room), margins=(0.1, 0.25, 0.5, 0.35 + room)
    )
    columns = (segmentation.mean_reconstructed, segmentation.mean_input)
    sample = segmentation.sample
    flattened = (
        (None, None)
        if sample is None
        else (flattened_image(axis, sample.reconstructed), flattened_image(axis, sample.input))
    )
    colour = "#d55e00" if sample is None else "#ffffff"
    for cluster, (picture, *panels) in enumerate(grid):
        draw_mask(picture, segmentation, cluster)
        picture.set_title(titles[cluster], fontsize=FONT_SIZE)
        drawn = np.stack([spectra[cluster] for spectra in columns])
        for axes, spectrum, image in zip(panels, drawn, flattened, strict=True):
            axes.plot(axis.values, spectrum, color=colour, linewidth=1.0)
            set_intensity_scale(axes, scale, drawn)
            _tidy(axes, segmentation)
            if image is not None:
                draw_flattened(axes, image, segmentation.labels.size)
        panels[1].sharey(panels[0])  # or the eye compares shapes that differ in size
    for axes, kind in zip(grid[0, 1:], ("decoded", "measured"), strict=True):
        axes.set_title(f"mean of the {kind} spectra ({segmentation.quantity})", fontsize=FONT_SIZE)
    for axes in grid[:-1, 1:].flatten():
        axes.tick_params(labelbottom=False)
    for axes in grid[-1, 1:]:
        axes.set_xlabel(axis.label, fontsize=FONT_SIZE)
    return figure


def _panels(segmentation: Segmentation) -> tuple[Figure, list[Axes]]:
    """A titled panel per cluster, two beside each other."""
    k = segmentation.k
    columns = 1 if k == 1 else 2
    rows = math.ceil(k / columns)
    width = 6.6 if k == 1 else 4.1  # the legend above takes as much
    figure, grid = grid_figure(rows, [width] * columns, 1.7, gaps=(0.5, 0.35), margins=(0.7, 0.15, 0.55, 0.65))
    panels: list[Axes] = list(grid.flatten())
    for cluster, axes in enumerate(panels[:k]):
        axes.set_title(f"     {segmentation.cluster_names[cluster]}", fontsize=FONT_SIZE, loc="left")
        axes.annotate(
            "\N{BLACK SQUARE}",
            (0, 1),
            xytext=(0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            color=segmentation.cluster_colours[cluster],
        )
    for axes in panels[k:]:
        axes.remove()
    for axes in panels[: max(0, k - columns)]:
        axes.tick_params(labelbottom=False)
    figure.supxlabel(segmentation.decoded_axis.label, fontsize=FONT_SIZE)
    figure.supylabel(segmentation.quantity, fontsize=FONT_SIZE)
    return figure, panels[:k]


def cluster_bands(segmentation: Segmentation, scale: Scale = "auto") -> Figure:
    """One panel per cluster: mean, median, band of 5 to 95 % and maximum of the measured spectra.

    Args:
        segmentation: whose.
        scale: of the intensities.

    Raises:
        ValueError: the segmentation has no statistics.
    """
    statistics = segmentation.statistics
    if statistics is None:
        raise ValueError("expected a segmentation with statistics of its clusters, got one without")
    figure, panels = _panels(segmentation)
    values = segmentation.axis.values
    for cluster, axes in enumerate(panels):
        axes.plot(values, statistics.maximum[cluster], color="#b0b0b0", linewidth=0.6, label="maximum")
        axes.fill_between(
            values,
            statistics.low[cluster],
            statistics.high[cluster],
            color=_COLOUR_OF_BAND,
            alpha=0.35,
            linewidth=0,
            label="5 to 95 % of the pixels",
        )
        axes.plot(values, statistics.median[cluster], color=_COLOUR_OF_BAND, linewidth=0.8, label="median")
        axes.plot(values, segmentation.mean_raw[cluster], color="#000000", linewidth=0.8, label="mean")
        drawn = np.stack([segmentation.mean_raw[cluster], statistics.maximum[cluster]])
        set_intensity_scale(axes, scale, drawn)
        axes.set_xlim(float(values.min()), float(values.max()))
        axes.tick_params(labelsize=FONT_SIZE - 2)
        axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, panels[0])
    figure.supxlabel(segmentation.axis.label, fontsize=FONT_SIZE)
    figure.supylabel(statistics.unit or "as measured", fontsize=FONT_SIZE)
    return figure


_COLOUR_OF_BAND = "#0072b2"


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="upper center", ncols=len(texts), fontsize=FONT_SIZE, frameon=False)


def _draw_averages(axes: Axes, segmentation: Segmentation, cluster: int, scale: Scale) -> None:
    axis = segmentation.decoded_axis
    drawn = np.stack(
        [
            segmentation.mean_input[cluster],
            segmentation.mean_reconstructed[cluster],
            segmentation.decoded_centre[cluster],
        ]
    )
    for spectrum, look in zip(drawn, (_TRUE, _RECONSTRUCTED, _CENTRE), strict=True):
        axes.plot(axis.values, spectrum, **look)
    set_intensity_scale(axes, scale, drawn)
    _tidy(axes, segmentation)


def _make_room(axes: Axes) -> None:
    """Raise the upper limit by a third of the panel's height, in whatever scale."""
    transform = axes.transScale + axes.transLimits
    axes.set_ylim(top=float(transform.inverted().transform((0.0, 1.35))[1]))


def _name_peaks(axes: Axes, segmentation: Segmentation, cluster: int, labels: Sequence[LabelledPeak]) -> None:
    """Names over the highest peaks, where they have room."""
    axis = segmentation.decoded_axis
    low, high = sorted(axes.get_xlim())
    named: list[float] = []
    drawn = np.stack([line.get_ydata() for line in axes.lines])
    for found in sorted(labels, key=lambda found: -found.peak.height):
        position = found.peak.position
        crowded = any(abs(position - other) < 0.02 * (high - low) for other in named)
        if not found.candidates or crowded or not low < position < high:
            continue
        named.append(position)
        nearest = np.abs(axis.values - position).argmin()
        top = drawn[:, max(0, nearest - 2) : nearest + 3].max()
        axes.annotate(
            found.text,
            (position, float(top)),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=FONT_SIZE - 3,
            clip_on=False,
        )
        if len(named) == MOST_LABELS:
            break


def _tidy(axes: Axes, segmentation: Segmentation) -> None:
    values: NDArray[np.float64] = segmentation.decoded_axis.values
    axes.set_xlim(float(values.min()), float(values.max()))
    axes.tick_params(labelsize=FONT_SIZE - 2)
    axes.spines[["top", "right"]].set_visible(False)
