"""How a segmentation shows itself: the map as a figure with a legend, and the names of its clusters.

Shapes: H rows, W columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def share_name(cluster: int, share: float, name: str = "") -> str:
    """Number of a cluster, its name if it has one, and its share of the pixels, 0 to 1.

    >>> share_name(2, 0.141), share_name(3, 0.0001), share_name(4, 0), share_name(2, 0.141, "lead white")
    ('cluster 2: 14.1 %', 'cluster 3: < 0.1 %', 'cluster 4: empty', '2 lead white: 14.1 %')
    """
    called = f"{cluster} {name}" if name else f"cluster {cluster}"
    if share == 0:
        return f"{called}: empty"
    return f"{called}: {100 * share:.1f} %" if share >= 0.0005 else f"{called}: < 0.1 %"


def draw_label_map(
    labels: NDArray[np.integer], names: Sequence[str], title: str, colours: Sequence[str] | None = None
) -> Figure:
    """The image of cluster numbers with a legend.

    Args:
        labels: (H, W), 0 to K - 1, or -1 for pixels without a cluster, which are grey.
        names: of the K clusters.
        title: plain text.
        colours: of the K clusters, as #rrggbb; default the usual ones.
    """
    # Only now: matplotlib takes a second to import, and most who segment draw nothing.
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    from deepspec.drawing import FONT_SIZE, NO_CLUSTER, cluster_colours, grid_figure, panel_height

    k = len(names)
    width, legend_columns = 4.6, 1 + k // 24
    height = panel_height(labels.shape, width, 0.2 * (k // legend_columns + 2))
    column = max(1.6, 0.55 + 0.072 * max(map(len, names)))  # names that were given by hand may be long
    margins = (0.5, 0.2 + column * legend_columns, 0.35, 0.4)
    figure, grid = grid_figure(1, [width], height, gaps=(0, 0), margins=margins)
    axes = grid[0, 0]
    shades = ListedColormap([NO_CLUSTER, *(colours or cluster_colours(k))])
    axes.imshow(labels + 1, cmap=shades, vmin=-0.5, vmax=k + 0.5, interpolation="nearest")
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.set_title(title, fontsize=FONT_SIZE + 1)
    entries = [Patch(color=shades(cluster + 1), label=name) for cluster, name in enumerate(names)]
    left_out = np.count_nonzero(labels < 0)
    if left_out:
        entries.append(Patch(color=NO_CLUSTER, label=f"none ({left_out} px)"))
    axes.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        fontsize=FONT_SIZE,
        frameon=False,
        ncols=legend_columns,
    )
    return figure
