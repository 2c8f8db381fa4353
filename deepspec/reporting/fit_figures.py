"""What a training has found, drawn from the model and the latent points of a sample: no cube is needed.

Shapes: N sampled spectra, L latent dimensions, K clusters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deepspec.reporting.latents import LatentSample, latent_scatter
from deepspec.reporting.style import FONT_SIZE, cluster_colours, grid_figure, set_intensity_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from torch import Tensor

    from deepspec.models import SpectralModel


def fit_figures(model: SpectralModel, z_NL: Tensor, x_NC: Tensor | None = None) -> dict[str, Figure]:
    """`spectra`, the decoded centre of each cluster, and `latents`, the points coloured by cluster.

    Args:
        model: with clusters, in evaluation mode.
        z_NL: (N, L) latent points, on any device.
        x_NC: their spectra as measured, on the model's device, where its clusters are judged by them.
    """
    labels_N = model.clusters.assign(z_NL.to(model.clusters.centres.device), x_NC).cpu().numpy()
    k = int(model.clusters.count)
    shares = np.bincount(labels_N[labels_N >= 0], minlength=k) / max(1, len(labels_N))
    names = [f"cluster {cluster}: {100 * share:.1f} %" for cluster, share in enumerate(shares)]
    sample = LatentSample(z_NL.cpu().numpy(), labels_N)
    title = f"{len(labels_N)} sampled spectra"
    return {
        "spectra": decoded_centres(model, names),
        "latents": latent_scatter(sample, model.clusters.used.cpu().numpy(), names, title),
    }


def decoded_centres(model: SpectralModel, names: Sequence[str]) -> Figure:
    """A panel per cluster with the spectrum that its centre is decoded to (equation 10).

    Args:
        model: with clusters, in evaluation mode.
        names: of the clusters.
    """
    spectra = model.decode(model.clusters.used).cpu().double().numpy()
    axis = model.decoded_axis
    columns = 1 if len(names) == 1 else 2
    rows = math.ceil(len(names) / columns)
    figure, grid = grid_figure(rows, [4.1] * columns, 1.4, gaps=(0.5, 0.55), margins=(0.7, 0.15, 0.55, 0.3))
    panels = grid.flatten()
    for axes, name, spectrum, colour in zip(panels, names, spectra, cluster_colours(len(names)), strict=False):
        axes.plot(axis.values, spectrum, color=colour, linewidth=1.0)
        axes.set_title(name, fontsize=FONT_SIZE, loc="left")
        axes.tick_params(labelsize=FONT_SIZE - 2)
        axes.spines[["top", "right"]].set_visible(False)
        set_intensity_scale(axes, "auto", spectra)
    for axes in panels[len(names) :]:
        axes.remove()
    figure.supxlabel(axis.label, fontsize=FONT_SIZE)
    figure.supylabel(model.preprocess.invertible_to, fontsize=FONT_SIZE)
    return figure
