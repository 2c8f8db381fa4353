"""Figures of a training: its history, its weights, what its decoder generates, and what its clusters look like.

Shapes: N draws or sampled spectra, C channels, D channels of the decoder, L latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from deepspec.drawing import FONT_SIZE, Scale, cluster_colours, grid_figure, set_intensity_scale
from deepspec.reporting.figure_table import ReportFigure, draw_table, figure_table
from deepspec.reporting.latent_figures import LatentSample, latent_scatter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.extensions import Extensible
    from deepspec.models import SpectralModel
    from deepspec.segmentation import Segmentation

    LineStyle = str | tuple[int, tuple[int, ...]]
    Weights = Mapping[str, NDArray[np.float32]]


_BLUE, _ORANGE, _GREEN, _RED = cluster_colours(4)


DRAWS = 2000
"""From the prior, for the share of each cluster."""

SHOWN = 4
"""Of each cluster."""


def training_history(history: Mapping[str, Sequence[float]]) -> Figure:
    """Losses, weights beta(i) and gamma(i), learning rate, and the clustering of the validation latents, by epoch.

    Args:
        history: of `deepspec.runs.folder.read_history`; a column that a run did not log is left out.
    """
    figure, grid = grid_figure(2, [3.0, 3.0], 2.0, gaps=(1.5, 0.3), margins=(0.65, 0.7, 0.5, 0.15))
    losses, parts, weights, clusters = grid.flatten()
    epoch = history["epoch"]
    totals: dict[str, tuple[str, str, LineStyle]] = {
        "train/total": ("training", _BLUE, "-"),
        "val/total": ("validation", _ORANGE, "-"),
        "val/target": ("validation, final weights", _ORANGE, ":"),
    }
    _draw(losses, epoch, history, totals, "total loss")
    terms: dict[str, tuple[str, str, LineStyle]] = {
        "val/reconstruction": ("reconstruction", _BLUE, "-"),
        "val/mmd": ("MMD", _GREEN, "--"),
        "val/silhouette": ("silhouette loss of batches", _RED, "-."),
        "val/clustering": ("deep baseline", _ORANGE, ":"),
    }
    factors: dict[str, tuple[str, str, LineStyle]] = {
        "beta": (r"$\beta$, of MMD", _GREEN, "--"),
        "gamma": (r"$\gamma$, of silhouette", _RED, "-."),
    }
    further = sorted(name.removeprefix("weight/") for name in history if name.startswith("weight/"))
    for place, name in enumerate(further):  # terms of the loss that a package or a program brings
        look: tuple[str, LineStyle] = (f"C{place % 10}", (0, (1, 1 + place)))
        terms.setdefault(f"val/{name}", (name, *look))
        factors[f"weight/{name}"] = (f"of {name}", *look)
    _draw(parts, epoch, history, terms, "parts of the loss, validation")
    _draw(weights, epoch, history, factors, "weight")
    _add_right(weights, epoch, history, "lr", "learning rate", log=True)
    _draw(clusters, epoch, history, {"ikmeans/silhouette": ("silhouette", _BLUE, "-")}, "silhouette of sampled latents")
    _add_right(clusters, epoch, history, "ikmeans/k", "K", log=False)
    for axes in (weights, clusters):
        axes.set_xlabel("epoch", fontsize=FONT_SIZE)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(
    axes: Axes,
    epoch: Sequence[float],
    history: Mapping[str, Sequence[float]],
    lines: dict[str, tuple[str, str, LineStyle]],
    quantity: str,
) -> None:
    for name, (label, colour, style) in lines.items():
        if name in history:
            marker = "o" if len(epoch) == 1 else ""
            axes.plot(epoch, history[name], color=colour, linestyle=style, marker=marker, linewidth=1.3, label=label)
    axes.set_ylabel(quantity, fontsize=FONT_SIZE)
    axes.tick_params(labelsize=FONT_SIZE - 2)
    axes.grid(alpha=0.3)
    axes.spines[["top"]].set_visible(False)
    if axes.lines:
        axes.legend(fontsize=FONT_SIZE - 2, frameon=False)


def _add_right(
    axes: Axes, epoch: Sequence[float], history: Mapping[str, Sequence[float]], name: str, label: str, *, log: bool
) -> None:
    if name not in history:
        return
    right = axes.twinx()
    right.step(epoch, history[name], where="mid", color="#555555", linewidth=1.0)
    right.set_ylabel(f"{label} (grey)", fontsize=FONT_SIZE, color="#555555")
    right.tick_params(labelsize=FONT_SIZE - 2)
    right.spines[["top"]].set_visible(False)
    if log:
        right.set_yscale("log")
    else:
        right.yaxis.set_major_locator(MaxNLocator(integer=True))


def layer_weights(before: Weights, after: Weights) -> Figure:
    """A panel per layer with the densities of its weights before and after, and the size of the change to theirs.

    Args:
        before: weights by the layer's name, in the order of the network.
        after: likewise, the same layers.

    Raises:
        ValueError: if the layers or their shapes differ.
    """
    if list(before) != list(after) or any(before[name].shape != after[name].shape for name in before):
        raise ValueError("expected the weights of the same layers before and after training")
    columns = min(4, len(before))
    rows = math.ceil(len(before) / columns)
    figure, grid = grid_figure(rows, [2.0] * columns, 1.25, gaps=(0.3, 0.55), margins=(0.45, 0.15, 0.5, 0.6))
    orange, blue = cluster_colours(2)[::-1]
    panels = grid.flatten()
    for axes, (name, first) in zip(panels, before.items(), strict=False):
        last = after[name]
        reach = float(np.quantile(np.abs(np.concatenate([first.ravel(), last.ravel()])), 0.999)) or 1.0
        edges = np.linspace(-reach, reach, 61)
        for values, colour, text, fill in ((first, orange, "before", True), (last, blue, "after", False)):
            density = np.histogram(values, edges)[0] / values.size / (edges[1] - edges[0])
            axes.stairs(density, edges, color=colour, alpha=0.5 if fill else 1.0, fill=fill, label=f"{text} training")
        moved = float(np.linalg.norm(last - first)) / max(float(np.linalg.norm(first)), 1e-12)
        size = " × ".join(map(str, first.shape))
        axes.set_title(f"{name}: {size}, moved {100 * moved:.0f} %", fontsize=FONT_SIZE - 2)
        axes.tick_params(labelsize=FONT_SIZE - 3)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    for axes in panels[len(before) :]:
        axes.remove()
    figure.supxlabel("weight", fontsize=FONT_SIZE)
    figure.supylabel("density", fontsize=FONT_SIZE)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="upper center", ncols=2, fontsize=FONT_SIZE, frameon=False)
    return figure


def trained_weights(checkpoint: str) -> tuple[Weights, Weights]:
    """Weights of a checkpoint's layers at the start and at the end of its training.

    The start is drawn again from the run's seed: `fit` seeds once and builds the network first. That holds for the same
    version of torch on any machine; `layer_weights` of a run that began with another's weights would mislead.

    Args:
        checkpoint: a file that `fit` wrote.

    Raises:
        UserError: it cannot be read.
    """
    import torch

    from deepspec.models import NetworkConfig, SpectralModel
    from deepspec.models.spectral_model import FORMAT, read_checkpoint

    content = read_checkpoint(checkpoint)
    settings = content[FORMAT]["settings"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(content[FORMAT]["seed"])
        first = SpectralModel(
            settings["axis"], NetworkConfig(**settings["network"]), settings["preprocess"], settings["max_clusters"]
        ).network.state_dict()
    names = [name for name, value in first.items() if name.endswith("weight") and value.ndim >= 2]
    before = {name.removesuffix(".weight"): first[name].numpy() for name in names}
    after = {name.removesuffix(".weight"): content["state_dict"][f"network.{name}"].float().numpy() for name in names}
    return before, after


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
    from deepspec.models.autoencoder import VariationalAutoencoder

    model = SpectralModel.load(checkpoint)
    if not isinstance(model.network, VariationalAutoencoder):
        return None
    generator = torch.Generator().manual_seed(seed)
    z_NL = torch.randn(DRAWS, model.network.latent, generator=generator)
    labels_N = torch.cdist(z_NL, torch.from_numpy(segmentation.cluster_centers)).argmin(1)
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
            axes.plot(axis.values, spectrum, color=segmentation.cluster_colours[cluster], linewidth=0.7)
        drawn = np.concatenate([segmentation.mean_input[cluster][None], own[:SHOWN]])
        set_intensity_scale(axes, scale, drawn)
        drawn_share = f"{100 * len(own) / len(generated.labels_N):.1f} % of the draws"
        name = segmentation.cluster_names[cluster]
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


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """What figures of a training are drawn from."""

    model: SpectralModel
    """With clusters, in evaluation mode."""
    sample: LatentSample
    """Latent points of sampled spectra."""
    names: Sequence[str]
    """Of the clusters, with their shares of the sample."""


TRAINING_FIGURES: Extensible[ReportFigure[TrainingContext]] = figure_table(
    "deepspec.training_figures",
    {
        "spectra": ReportFigure(
            "Spectrum that the centre of each cluster is decoded to",
            lambda shown: decoded_centres(shown.model, shown.names),
        ),
        "latents": ReportFigure(
            "Latent points coloured by cluster",
            lambda shown: latent_scatter(
                shown.sample,
                shown.model.clusters.used.cpu().numpy(),
                shown.names,
                f"{len(shown.sample.labels_S)} sampled spectra",
            ),
        ),
    },
)
"""What is sent to where a training is tracked. Another package adds to it by an entry point of the group
`deepspec.training_figures`."""


def fit_figures(model: SpectralModel, z_NL: Tensor, x_NC: Tensor | None = None) -> dict[str, Figure]:
    """The figures of `TRAINING_FIGURES` by name.

    Args:
        model: with clusters, in evaluation mode.
        z_NL: (N, L) latent points, on any device.
        x_NC: their spectra as measured, on the model's device, where its clusters are judged by them.
    """
    labels_N = model.clusters.assign(z_NL.to(model.clusters.centres.device), x_NC).cpu().numpy()
    k = int(model.clusters.count)
    shares = np.bincount(labels_N[labels_N >= 0], minlength=k) / max(1, len(labels_N))
    names = [f"cluster {cluster}: {100 * share:.1f} %" for cluster, share in enumerate(shares)]
    return draw_table(TRAINING_FIGURES, TrainingContext(model, LatentSample(z_NL.cpu().numpy(), labels_N), names))


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
