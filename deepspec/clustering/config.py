"""Which clusterer, as plain values that fit a YAML file and a checkpoint; and the table of all that there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from deepspec.clustering.consensus import ConsensusKMeans
from deepspec.clustering.gmm import GaussianMixtures
from deepspec.clustering.hdbscan import Hdbscan
from deepspec.clustering.ikmeans import IKMeans
from deepspec.clustering.valleys import Evidence, Valleys
from deepspec.errors import UserError
from deepspec.extensions import Extensible
from deepspec.renamed import has_old_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepspec.clustering.base import Clusterer


@has_old_words
@dataclass(frozen=True)
class ClustererConfig:
    """What divides the latent points into clusters."""

    kind: str = "ikmeans"
    """ikmeans: K-means for a range of K, the best silhouette wins (the paper's); valleys: over-segment, merge what no
    valley of density divides and split where one runs, with K from the data; gmm: Gaussian mixtures by BIC; hdbscan; or
    one that another package registers. On an ensemble of networks ikmeans clusters each network's latents, and their
    consensus is kept."""
    evidence: Evidence = "auto"
    """Of valleys: `counts` (likelihood ratio of the spectra), `latents` (density of the latent points), or `auto`:
    counts where the spectra are counts."""
    firm: float | None = None
    """Of valleys: a border is one if its valley ratio is below this, 0 to 1; default .85 of counts, .5 of latents."""
    n_init: int = 3
    """K-means runs for each number of clusters."""
    spatial: float | None = None
    """Strength 0 to 1 of the prior that neighbouring pixels are alike, in the maps of cubes; default .5 for clusters of
    counts, 0 for others."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of a clusterer from another package: the arguments that it is made with."""

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            UserError: one is impossible.
        """
        if self.evidence not in get_args(Evidence):
            raise UserError(f"clusterer.evidence: expected auto, counts or latents, got {self.evidence!r}")
        if self.spatial is not None and not 0 <= self.spatial <= 1:
            raise UserError(f"clusterer.spatial: expected 0 to 1, got {self.spatial}")
        if self.options and self.kind in _OWN:
            raise UserError(
                f"clusterer.options is for clusterers of other packages; {self.kind} has keys of its own: evidence, "
                "firm, n_init"
            )
        self.build()

    def build(self, members: int = 1) -> Clusterer:
        """The clusterer, for the latents of so many networks side by side.

        Raises:
            UserError: there is none of this kind, or it does not take its options.
        """
        if self.kind in _OWN:
            return _OWN[self.kind](self, members)
        try:
            return CLUSTERERS[self.kind](**self.options)
        except TypeError as error:
            raise UserError(f"clusterer.options of {self.kind}: {error}") from error


def _ikmeans(config: ClustererConfig, members: int) -> Clusterer:
    return ConsensusKMeans(members, config.n_init) if members > 1 else IKMeans(config.n_init)


def _valleys(config: ClustererConfig, members: int) -> Clusterer:
    return Valleys(config.evidence, config.firm, n_init=config.n_init, members=members)


def _gmm(config: ClustererConfig, members: int) -> Clusterer:
    return GaussianMixtures(config.n_init, members)


def _hdbscan(config: ClustererConfig, members: int) -> Clusterer:
    return Hdbscan()


_OWN: dict[str, Callable[[ClustererConfig, int], Clusterer]] = {
    "ikmeans": _ikmeans,
    "valleys": _valleys,
    "gmm": _gmm,
    "hdbscan": _hdbscan,
}


def _check_clusterer(name: str, make: object) -> None:
    if not callable(make):
        raise UserError("expected a class, or a function that makes a clusterer")
    if isinstance(make, type) and not callable(getattr(make, "fit", None)):
        raise UserError(f"{make.__name__} has no method fit(z_NL, k, generator, spectra)")


CLUSTERERS: Extensible[Callable[..., Clusterer]] = Extensible(
    "clusterer", "deepspec.clusterers", _OWN, check=_check_clusterer
)
"""All clusterers by kind. What another package adds is a class, or a function, that makes a `Clusterer` of the
`options` of the configuration; what its `fit` returns may be one of our partitions."""
