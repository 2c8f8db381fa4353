"""Spectra that a variational model generates: drawn from its prior, beside those that were measured.

Shapes: N draws, D channels, L latent dimensions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.reporting.maps import share_name
from deepspec.reporting.style import FONT_SIZE, Scale, cluster_colours, grid_figure, set_intensity_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from deepspec.segmentation import Segmentation

DRAWS = 2000
"""From the prior, for the share of each cluster."""

SHOWN = 4
"""Of each cluster."""


class Generated(NamedTuple):
    """Draws from the prior."""

    labels_N: NDArray[np.int64]
    """The clusters of the latent points."""
    spectra_ND: NDArray[np.float32]
    """What the decoder makes of them, in the quantity of the segmentation's decoded spectra."""


def generate(segmentation: Segmentation, checkpoint: str, seed: int = 0) -> Generated | None:
    """Draw latent points from the prior N(0, 1), decode them, and find the nearest cluster of each.

    Args:
        segmentation: whose clusters.
        checkpoint: the model that it was made with.
        seed: of the draws.

    Returns:
        None if the model is not variational: its latent points have no distribution to draw from.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    import torch

    from deepspec.models import SpectralModel
    from deepspec.models.variational import VariationalAutoencoder

    model = SpectralModel.load(checkpoint)
    if not isinstance(model.network, VariationalAutoencoder):
        return None
    generator = torch.Generator().manual_seed(seed)
    z_NL = torch.randn(DRAWS, model.network.latent, generator=generator)
    labels_N = torch.cdist(z_NL, torch.from_numpy(segmentation.centres)).argmin(1)
    return Generated(labels_N.numpy(), model.decode(z_NL).numpy())


def generated_spectra(segmentation: Segmentation, generated: Generated, scale: Scale = "auto") -> Figure:
    """A panel per cluster: its mean measured spectrum under some of the generated ones that fall into it.

    A model that generates what it was trained on draws each cluster about as often as it has pixels.

    Args:
        segmentation: whose clusters.
        generated: of `generate`.
        scale: of the intensities.
    """
    k, axis = segmentation.k, segmentation.decoded_axis
    columns = min(k, 2)
    rows = math.ceil(k / columns)
    width = 6.6 if k == 1 else 4.1  # the title above takes as much
    figure, grid = grid_figure(rows, [width] * columns, 1.7, gaps=(0.5, 0.35), margins=(0.7, 0.15, 0.55, 0.65))
    panels = list(grid.flatten())
    for cluster, axes in enumerate(panels[:k]):
        own = generated.spectra_ND[generated.labels_N == cluster]
        axes.plot(axis.values, segmentation.mean_input[cluster], color="#7f7f7f", linewidth=2.2)
        for spectrum in own[:SHOWN]:
            axes.plot(axis.values, spectrum, color=cluster_colours(k)[cluster], linewidth=0.7)
        drawn = np.concatenate([segmentation.mean_input[cluster][None], own[:SHOWN]])
        set_intensity_scale(axes, scale, drawn)
        drawn_share = f"{100 * len(own) / len(generated.labels_N):.1f} % of the draws"
        name = share_name(cluster, float(segmentation.shares[cluster]))
        axes.set_title(f"{name} of the pixels, {drawn_share}", fontsize=FONT_SIZE, loc="left")
        axes.set_xlim(float(axis.values.min()), float(axis.values.max()))
        axes.tick_params(labelsize=FONT_SIZE - 2, labelbottom=cluster >= k - columns)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[k:]:
        axes.remove()
    figure.supxlabel(axis.label, fontsize=FONT_SIZE)
    figure.supylabel(segmentation.quantity, fontsize=FONT_SIZE)
    title = f"grey: mean measured spectrum; thin: up to {SHOWN} spectra drawn from the prior that fall into the cluster"
    figure.suptitle(title, fontsize=FONT_SIZE)
    return figure
