"""What clusters are looked for: the clusterer, the range of K, and where a merge tree is to be cut.

Shapes: N spectra, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deepspec.clustering import ClustererConfig, Valleys
from deepspec.clustering.counts import are_counts
from deepspec.clustering.ikmeans import K_RANGE
from deepspec.errors import UserError
from deepspec.segmentation.cutting import number_of_clusters
from deepspec.segmentation.labelling import LabelOptions

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.clustering import Clusterer
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.options import SegmentOptions


@dataclass(frozen=True)
class PlannedSearch:
    """What is looked for."""

    clusterer: Clusterer
    """What divides the latent points."""
    k: int | tuple[int, int] | None
    """How many clusters it looks for; None leaves it to the clusterer."""
    tested: tuple[int, int]
    """Fewest and most clusters that the test of structure tries."""
    cut: int | None
    """Clusters that the merge tree of frozen ones is cut into; None leaves them."""
    labelling: LabelOptions
    """How pixels are labelled where nothing else is said."""

    @property
    def looks_at_spectra(self) -> bool:
        """Whether the clusterer may want the spectra as measured: all but our own that never do."""
        if isinstance(self.clusterer, Valleys):
            return self.clusterer.evidence != "latents"
        return type(self.clusterer).__module__.partition(".")[0] != "deepspec"

    def judges_by(self, x_NC: Tensor, unit: str) -> bool:
        """Whether it is given these spectra, over an axis of this unit: `auto` takes counts alone for counts."""
        if isinstance(self.clusterer, Valleys) and self.clusterer.evidence == "auto":
            return are_counts(x_NC, unit)
        return True


def planned_search(
    model: SegmentationModel, options: SegmentOptions, clusterer: str | ClustererConfig | Clusterer | None = None
) -> PlannedSearch:
    """Put together what was asked for and what the model's training did.

    Args:
        model: fitted.
        options: what was asked for.
        clusterer: in place of that of the options.

    Raises:
        UserError: options contradict each other, or what the model has.
    """
    clusterer = options.clusterer if clusterer is None else clusterer
    k, firm = options.k, options.firm
    config = clusterer_of(model, clusterer)
    trained = config.spatial if isinstance(config, ClustererConfig) else None
    labelling = LabelOptions(trained if options.spatial is None else options.spatial, options.unassigned)
    k_range = getattr(model, "k_range", None) or K_RANGE
    tested = k if isinstance(k, tuple) else k_range
    tested = (2, max(2, tested[1]))
    if options.clusters == "frozen":
        if not int(model.clusters.count):
            ready = getattr(model, "ready", None)
            named = "the checkpoint" if ready is None else f"the ready model {ready}, trained on other objects,"
            raise UserError(f"{named} has no clusters: let new ones be found in this cube with --clusters refit")
        if clusterer is not None:
            raise UserError("a clusterer is for --clusters refit; frozen clusters are those of the training")
        cut = None
        if isinstance(k, int) or firm is not None:
            cut = number_of_clusters(model.clusters.partition.search.tree, k if isinstance(k, int) else None, firm)
        return PlannedSearch(ClustererConfig().build(), None, tested, cut, labelling)
    if isinstance(config, ClustererConfig):
        if firm is not None:
            if config.kind != "valleys":
                raise UserError(f"firm is for the clusterer valleys, which looks at borders; this is {config.kind}")
            config = replace(config, firm=firm)
        if k is None and config.kind == "ikmeans":
            k = k_range
        members = getattr(model.network, "members", 1)
        return PlannedSearch(replace(config, n_init=options.n_init).build(members), k, tested, None, labelling)
    if firm is not None:
        raise UserError("firm is for the clusterer valleys; give it to the clusterer itself")
    return PlannedSearch(config, k, tested, None, labelling)


def clusterer_of(
    model: SegmentationModel, clusterer: str | ClustererConfig | Clusterer | None
) -> ClustererConfig | Clusterer:
    """The clusterer that was asked for, or else that of the model's training."""
    trained: ClustererConfig = getattr(model, "clusterer", None) or ClustererConfig()
    if clusterer is None:
        return trained
    if isinstance(clusterer, str):
        return trained if clusterer == trained.kind else ClustererConfig(kind=clusterer)
    return clusterer
