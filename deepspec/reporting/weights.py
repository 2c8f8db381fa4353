"""Weights of each layer before and after training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deepspec.reporting.style import FONT_SIZE, cluster_colours, grid_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Weights = Mapping[str, NDArray[np.float32]]


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
    from deepspec.models.checkpoint import FORMAT, read_checkpoint

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
