"""Which clusterer, as plain values that fit a YAML file and a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from deepspec.clustering.consensus import ConsensusKMeans
from deepspec.clustering.gmm import GaussianMixtures
from deepspec.clustering.hdbscan import Hdbscan
from deepspec.clustering.ikmeans import IKMeans
from deepspec.clustering.valleys import Evidence, Valleys
from deepspec.errors import UserError

if TYPE_CHECKING:
    from deepspec.clustering.base import Clusterer

ClustererKind = Literal["ikmeans", "valleys", "gmm", "hdbscan"]


@dataclass(frozen=True)
class ClustererConfig:
    """What divides the latent points into clusters."""

    kind: ClustererKind = "ikmeans"
    """ikmeans: K-means for a range of K, the best silhouette wins (the paper's); valleys: over-segment, merge what no
    valley of density divides and split where one runs, with K from the data; gmm: Gaussian mixtures by BIC; hdbscan.
    On an ensemble of networks ikmeans clusters each network's latents, and their consensus is kept."""
    evidence: Evidence = "auto"
    """Of valleys: `counts` (likelihood ratio of the spectra), `latents` (density of the latent points), or `auto`:
    counts where the spectra are counts."""
    firm: float | None = None
    """Of valleys: a border is one if its valley ratio is below this, 0 to 1; default .85 of counts, .5 of latents."""
    restarts: int = 3
    """K-means runs for each number of clusters."""
    spatial: float | None = None
    """Strength 0 to 1 of the prior that neighbouring pixels are alike, in the maps of cubes; default .5 for clusters of
    counts, 0 for others."""

    def __post_init__(self) -> None:
        """Check each value."""
        if self.kind not in get_args(ClustererKind):
            raise UserError(f"clusterer.kind: expected one of {', '.join(get_args(ClustererKind))}, got {self.kind!r}")
        if self.evidence not in get_args(Evidence):
            raise UserError(f"clusterer.evidence: expected auto, counts or latents, got {self.evidence!r}")
        if self.spatial is not None and not 0 <= self.spatial <= 1:
            raise UserError(f"clusterer.spatial: expected 0 to 1, got {self.spatial}")
        self.build()

    def build(self, members: int = 1) -> Clusterer:
        """The clusterer, for the latents of so many networks side by side."""
        if self.kind == "valleys":
            return Valleys(self.evidence, self.firm, restarts=self.restarts, members=members)
        if self.kind == "ikmeans" and members > 1:
            return ConsensusKMeans(members, self.restarts)
        if self.kind == "gmm":
            return GaussianMixtures(self.restarts)
        return Hdbscan() if self.kind == "hdbscan" else IKMeans(self.restarts)
