"""Segmentation: the labels of a cube and what each of its clusters looks like.

Shapes: H rows, W columns, C channels of the cube, D of the decoder, K clusters, L latent dimensions, M leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.clustering import Tree
    from deepspec.data.axis import SpectralAxis
    from deepspec.functional import SilhouetteEstimate
    from deepspec.segmentation.drift import Drift
    from deepspec.segmentation.sample import PixelSample
    from deepspec.segmentation.structure import Structure

ClustersMode = Literal["frozen", "refit"]


@dataclass(frozen=True)
class Provenance:
    """What a segmentation was made from and with."""

    cube: str
    """Path of the cube; empty for one in memory."""
    cube_sha256: str
    """Of the file; empty where there is none, or where hashing was left out and a note says so."""
    checkpoint: str
    """Path of the checkpoint; empty for a model in memory."""
    checkpoint_sha256: str
    """Likewise."""
    clusters: ClustersMode
    """frozen: the clusters of the checkpoint; refit: found in this cube."""
    seed: int
    """Of everything random."""
    deepspec: str
    """Version."""
    torch: str
    """Version."""
    numpy: str
    """Version."""
    created: str
    """Date and time in UTC, ISO 8601."""


@dataclass(frozen=True)
class BaselineRecord:
    """How a baseline, which has no checkpoint, came to what it clustered."""

    method: str
    """pca, nmf, umap, raw or rgb."""
    preprocess: str
    """Steps from the cube's spectra to what it saw, as JSON."""
    sample: int
    """Most spectra that the steps were fitted on, chosen with the seed of the provenance."""


@dataclass(frozen=True)
class ClusteringRecord:
    """How the clusters were found, and the pixels labelled."""

    partition: str
    """nearest, gaussians, counts or consensus: what a pixel is judged by (see `deepspec.clustering`)."""
    evidence: str
    """What decided on K, in words."""
    spatial: float
    """Strength of the prior that neighbours are alike; 0 without."""
    changed: float
    """Share of the pixels that the neighbours changed."""
    unassigned: int
    """Pixels of label -1 that no cluster explains."""
    members: int = 1
    """Networks whose latents stand side by side: more than one of an ensemble."""


@dataclass(frozen=True, eq=False)
class Leaves:
    """The finest cut of the merge tree, of which any coarser one is made without clustering again."""

    tree: Tree
    """What joins what, the least firm border first."""
    parents: tuple[int, ...]
    """(M,) the cluster of each leaf."""
    labels: NDArray[np.int16]
    """(H, W), 0 to M - 1, or -1."""
    sizes: NDArray[np.int64]
    """(M,) pixels."""
    centres: NDArray[np.float32]
    """(M, L) mean latent points."""
    mean_raw: NDArray[np.float64]
    """(M, C), like the next three as those of the clusters."""
    mean_input: NDArray[np.float64]
    """(M, D)."""
    mean_reconstructed: NDArray[np.float64]
    """(M, D)."""
    decoded_centre: NDArray[np.float64]
    """(M, D)."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmented cube. Pixels that are masked, dead or without a latent point have label -1 and enter nothing."""

    labels: NDArray[np.int16]
    """(H, W), 0 to k - 1, or -1. Refit: 0 is the largest cluster. Frozen: the checkpoint's numbers."""
    k: int
    """Number of clusters; frozen ones may be empty here."""
    centres: NDArray[np.float32]
    """(K, L) latent points: the mean of each cluster's pixels, or where the checkpoint has it."""
    sizes: NDArray[np.int64]
    """(K,) pixels."""
    silhouette: SilhouetteEstimate
    """Of the latent points; NaN if fewer than two clusters have pixels."""
    scores: dict[int, float]
    """Refit: silhouette of every K tried, on the sample of pixels that was clustered, of an ensemble the mean of its
    networks'; frozen: empty."""
    inertias: dict[int, float]
    """Refit: sum of squared distances to the centres for every K tried, on that sample; frozen: empty."""
    axis: SpectralAxis
    """Of `mean_raw`: the cube's, or the checkpoint's if the cube has no calibration."""
    decoded_axis: SpectralAxis
    """Of the other spectra."""
    quantity: str
    """What the other spectra are (`Preprocess.invertible_to`)."""
    mean_raw: NDArray[np.float64]
    """(K, C) mean spectrum of the cube as it is; NaN for an empty cluster."""
    mean_input: NDArray[np.float64]
    """(K, D) mean of the preprocessed spectra, undone as far as that can be: the "true" ones of equation 9."""
    mean_reconstructed: NDArray[np.float64]
    """(K, D) mean of the decoded spectra (equation 8)."""
    decoded_centre: NDArray[np.float64]
    """(K, D) decoded mean latent point (equation 10); of an empty cluster its decoded centre."""
    total_raw: NDArray[np.float32]
    """(H, W) sum over the channels of the cube; NaN where the label is -1, like the next two (figures 5 and 11)."""
    total_reconstructed: NDArray[np.float32]
    """(H, W) sum over the channels of the decoded spectra."""
    total_latent: NDArray[np.float32]
    """(H, W) sum over the latent dimensions."""
    structure: Structure
    """Whether there is more than one material at all."""
    notes: tuple[str, ...]
    """What should be known about it, in sentences."""
    provenance: Provenance
    """What it was made from and with."""
    sample: PixelSample | None = None
    """Spectra of some of its pixels; None in files of earlier versions."""
    latents: NDArray[np.float32] | None = None
    """(H, W, L) latent points, NaN where the label is -1: what `evaluate` clusters again; None likewise."""
    baseline: BaselineRecord | None = None
    """What a baseline did; None for a network."""
    clustering: ClusteringRecord | None = None
    """How the clusters were found; None in files of earlier versions."""
    borders: NDArray[np.float64] | None = None
    """(K, K) valley ratio r of the border of each pair: towards 0 firm, 1 none. None where it was not looked for."""
    memberships: NDArray[np.float32] | None = None
    """(H, W, K) probability of each cluster, adding up to 1; 0 where the label is -1. None where they were not kept."""
    drift: Drift | None = None
    """Frozen: how the scan differs from the training; None for refit, and for files and checkpoints of earlier
    versions."""
    leaves: Leaves | None = None
    """Where the clusters could be merged or divided further; None for clusterers without a merge tree."""
    disagreement: NDArray[np.float32] | None = None
    """(H, W) share of an ensemble's networks that put the pixel into another cluster, 0 to 1, NaN where the label is
    -1; None of a single network, and where its networks have no vote."""
    measured_axis: SpectralAxis | None = None
    """Of the cube as its file has it, where `axis` was put right by the lines of the elements; None: the same."""
    scattered: NDArray[np.bool_] | None = None
    """(C,) the channels of `mean_raw` where the sample scatters the tube's lines (`scattered_channels`); None where no
    tube is known or was found, where no peaks were looked for, and in files of earlier versions."""

    @property
    def border_scatter(self) -> NDArray[np.float64] | None:
        """(K, K) how much of what tells two clusters apart is scatter of the tube's lines, 0 to 1; see `scatter_share`.

        NaN on the diagonal and for empty clusters; None where `scattered` or `borders` is.
        """
        if self.scattered is None or self.borders is None:
            return None
        from deepspec.segmentation.scatter import scatter_share

        return scatter_share(self.mean_raw, self.sizes, self.scattered)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K,) share of the labelled pixels in each cluster."""
        shares: NDArray[np.float64] = self.sizes / self.sizes.sum()
        return shares

    @property
    def retraining(self) -> str:
        """How much the networks of an ensemble disagree, in words; empty where that is not known."""
        if self.disagreement is None or self.clustering is None:
            return ""
        known = self.disagreement[self.labels >= 0]
        return (
            f"stability under retraining: {self.clustering.members} networks trained from different initial weights "
            f"agree on the cluster of {100 * float((known == 0).mean()):.1f} % of the pixels; mean disagreement "
            f"{float(known.mean()):.3f}"
        )

    def cut(self, k: int | None = None, *, firm: float | None = None) -> Segmentation:
        """The same segmentation with its merge tree cut elsewhere, coarser or finer; nothing is clustered again.

        Args:
            k: how many clusters.
            firm: or the valley ratio r, 0 to 1, below which a border is one.

        Raises:
            UserError: there is no merge tree, it has too few leaves, or not just one of `k` and `firm` is given.
        """
        from deepspec.segmentation.cutting import cut_segmentation

        return cut_segmentation(self, k, firm)

    def save(self, path: str | Path) -> None:
        """Write an HDF5 file, which appears under its name when complete; an existing one is replaced."""
        from deepspec.segmentation.file import write_segmentation

        write_segmentation(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Segmentation:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged, or something else.
        """
        from deepspec.segmentation.file import read_segmentation

        return read_segmentation(path)
