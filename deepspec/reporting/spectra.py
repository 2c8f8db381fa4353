"""Spectra of the clusters (figures 4, 9 and 10 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.reporting.maps import cluster_name, draw_mask
from deepspec.reporting.style import FONT_SIZE, Scale, cluster_colours, grid_figure, panel_height, set_intensity_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deepspec.segmentation import Segmentation

_TRUE: dict[str, Any] = {"color": "#7f7f7f", "linewidth": 2.2, "label": "mean of the measured spectra"}
_RECONSTRUCTED: dict[str, Any] = {"color": "#d55e00", "linewidth": 1.0, "label": "mean of the decoded spectra"}
_CENTRE: dict[str, Any] = {
    "color": "#0072b2",
    "linewidth": 1.0,
    "linestyle": (0, (4, 2)),
    "label": "decoded mean latent",
}


def cluster_spectra(segmentation: Segmentation, scale: Scale = "auto") -> Figure:
    """One panel per cluster: mean measured, mean decoded and decoded mean (equations 9, 8 and 10).

    Args:
        segmentation: whose.
        scale: of the intensities.
    """
    k = segmentation.k
    columns = 1 if k == 1 else 2
    rows = math.ceil(k / columns)
    figure, grid = grid_figure(rows, [4.1] * columns, 1.5, gaps=(0.5, 0.35), margins=(0.7, 0.15, 0.55, 0.65))
    grid = grid.flatten()
    for cluster, axes in enumerate(grid[:k]):
        _draw(axes, segmentation, cluster, scale)
        axes.set_title(f"     {cluster_name(segmentation, cluster)}", fontsize=FONT_SIZE, loc="left")
        axes.annotate(
            "\N{BLACK SQUARE}",
            (0, 1),
            xytext=(0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            color=cluster_colours(k)[cluster],
        )
    for axes in grid[k:]:
        axes.remove()
    for axes in grid[: max(0, k - columns)]:
        axes.tick_params(labelbottom=False)
    figure.supxlabel(segmentation.decoded_axis.label, fontsize=FONT_SIZE)
    figure.supylabel(segmentation.quantity, fontsize=FONT_SIZE)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), fontsize=FONT_SIZE, frameon=False)
    return figure


def cluster_rows(segmentation: Segmentation, scale: Scale = "auto") -> Figure:
    """One row per cluster: its pixels, its mean decoded spectrum, its mean measured spectrum.

    Args:
        segmentation: whose.
        scale: of the intensities.
    """
    k, axis = segmentation.k, segmentation.decoded_axis
    height = panel_height(segmentation.labels.shape, 1.9, 1.2, 2.2)
    figure, grid = grid_figure(k, [1.9, 3.2, 3.2], height, gaps=(0.45, 0.3), margins=(0.1, 0.15, 0.5, 0.35))
    columns = (segmentation.mean_reconstructed, segmentation.mean_input)
    for cluster, (picture, *panels) in enumerate(grid):
        draw_mask(picture, segmentation, cluster)
        picture.set_title(cluster_name(segmentation, cluster), fontsize=FONT_SIZE)
        drawn = np.stack([spectra[cluster] for spectra in columns])
        for axes, spectrum in zip(panels, drawn, strict=True):
            axes.plot(axis.values, spectrum, color=cluster_colours(k)[cluster], linewidth=1.0)
            set_intensity_scale(axes, scale, drawn)
            _tidy(axes, segmentation)
        panels[1].sharey(panels[0])  # or the eye compares shapes that differ in size
    for axes, kind in zip(grid[0, 1:], ("decoded", "measured"), strict=True):
        axes.set_title(f"mean of the {kind} spectra ({segmentation.quantity})", fontsize=FONT_SIZE)
    for axes in grid[:-1, 1:].flatten():
        axes.tick_params(labelbottom=False)
    for axes in grid[-1, 1:]:
        axes.set_xlabel(axis.label, fontsize=FONT_SIZE)
    return figure


def _draw(axes: Axes, segmentation: Segmentation, cluster: int, scale: Scale) -> None:
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


def _tidy(axes: Axes, segmentation: Segmentation) -> None:
    values = segmentation.decoded_axis.values
    axes.set_xlim(float(values.min()), float(values.max()))
    axes.tick_params(labelsize=FONT_SIZE - 2)
    axes.spines[["top", "right"]].set_visible(False)
