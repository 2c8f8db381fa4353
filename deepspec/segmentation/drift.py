"""Is a scan like the training's? What frozen clusters say of it can be trusted only as far as it is.

Shapes: N sampled pixels, C channels, D of the network, L latent dimensions, K clusters, B bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

from deepspec.clustering import CountSpectra, TrainingRecord
from deepspec.segmentation.response import noise_of
from deepspec.segmentation.spectra import SAMPLE_VALUES

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.clustering import Partition
    from deepspec.models import SpectralModel
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.response import Response
    from deepspec.segmentation.spectra import CubeSpectra, Piece

SAMPLE = 4096
"""Pixels that are looked at."""

BLOCK = 1024
"""Spectra that are decoded at a time."""

UNASSIGNED = 0.1
"""Share of pixels that no cluster explains, beyond the training's, above which a scan is another one."""

STRAIN = 0.2
"""Likewise of the strain. On the 28 scans that these numbers were chosen on (`experiments/drift_cases.py`), right maps
had up to .12, wrong ones .33 and more."""

CERTAINTY = 0.1
"""Likewise of the certainty that was lost."""

LEVEL = 0.2
"""Logarithm of the ratio of counts above which a scan is shifted."""

BLUR = 0.05
"""Likewise of the difference in resolution."""

SHIFT = 0.1
"""Likewise of the strain."""

ERROR = 1.5
"""Likewise of the reconstruction error over the training's, for clusters of latent points."""

FEW = 0.02
"""Likewise of the pixels that no cluster explains."""

DriftVerdict = Literal["same", "shifted", "other"]


@dataclass(frozen=True)
class Drift:
    """How a scan with frozen clusters differs from the training that they are of."""

    verdict: DriftVerdict
    """same: as in the training; shifted: another exposure or detector, which the labels outlive; other: the labels
    cannot be relied on."""
    reasons: str
    """What the verdict rests on, in words; empty for same."""
    error: float
    """Reconstruction error per count over the training's."""
    unassigned: float
    """Share of the pixels that no cluster explains."""
    unassigned_in_training: float
    """Likewise, there."""
    latents: float
    """Root mean square distance of the clusters' mean latent points from those of the training, in their spreads."""
    counts: float
    """Mean counts of a pixel over those of its cluster in the training."""
    noise: float
    """Variance of the counts over that of Poisson's law, over the training's; NaN for clusters of latent points."""
    certainty: float
    """Mean probability of the most probable cluster, without the neighbours."""
    certainty_in_training: float
    """Likewise, there."""
    response_lowest: float
    """Least factor by which the clusters' spectra were corrected for another response; 1 without."""
    response_highest: float
    """Greatest factor, likewise."""
    blur: float
    """Difference in resolution that they were corrected for: half that of a peak's variances, in squared channels."""
    strain: float
    """What is left of the difference between clusters and training, over the distance to the nearest other cluster: at
    1 a cluster looks like another one. Root mean square over the pixels."""

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == "same":
            return "drift same: the scan is like those of the training, cluster numbers mean the same materials"
        if self.verdict == "shifted":
            return f"drift shifted: another exposure or detector ({self.reasons}); cluster numbers still hold"
        return (
            f"drift other: the scan is not like those of the training ({self.reasons}); do not rely on these labels, "
            "find clusters of its own with --clusters refit"
        )


class Sampled(NamedTuple):
    """Spectra of a sample."""

    x_NC: Tensor
    """float32, as measured, on the model's channels."""
    y_ND: Tensor
    """float32, preprocessed."""
    z_NL: Tensor
    """float32, latent points, finite."""


def record_training(model: SpectralModel, x_NC: Tensor) -> TrainingRecord:
    """What the training of a model is remembered by.

    Args:
        model: with its final weights and clusters, in evaluation mode.
        x_NC: raw spectra that its clusters were found in, on its device.
    """
    y_ND = torch.cat([model.preprocess(part) for part in torch.split(x_NC, BLOCK)])
    z_NL = torch.cat([model.network.encode(part).mean_NL.float() for part in torch.split(y_ND, BLOCK)])
    partition = model.clusters.partition
    sampled = Sampled(x_NC.float(), y_ND, z_NL)
    labels_N = partition.assign(z_NL, sampled.x_NC)
    centres_KL, spreads_K, _ = _places(z_NL, labels_N, partition.k)
    own_KN = labels_N == torch.arange(partition.k, device=labels_N.device)[:, None]
    log_total_N = _log_totals(sampled.x_NC)
    noise = noise_of(sampled.x_NC, labels_N, partition.k) if isinstance(partition, CountSpectra) else math.nan
    found = _Fit.of(model, partition, sampled, labels_N)
    return TrainingRecord(
        spectrum_C=sampled.x_NC.mean(0),
        log_totals_K=torch.stack([log_total_N[own_N].mean() for own_N in own_KN]),
        counts_K=own_KN.float() @ sampled.x_NC.sum(1),
        latents_KL=centres_KL,
        spreads_K=spreads_K,
        error=found.error,
        unassigned=found.unassigned,
        certainty=found.certainty,
        noise=noise,
        # The spectra are of these very pixels: there is no chance to allow for.
        strain=_strain_of_counts(partition, sampled.x_NC, labels_N, 0.0, [math.inf] * partition.k)
        if isinstance(partition, CountSpectra)
        else 0.0,
    )


def find_drift(
    model: SegmentationModel,
    record: TrainingRecord,
    partition: Partition,
    sampled: Sampled,
    response: Response | None,
) -> Drift:
    """Compare a scan with the training.

    Args:
        model: its network decodes.
        record: of the training.
        partition: its clusters, as the scan sees them.
        sampled: some of the scan's pixels, at least 1.
        response: what the clusters were corrected for, if they were.
    """
    labels_N = partition.assign(sampled.z_NL, sampled.x_NC)
    found = _Fit.of(model, partition, sampled, labels_N)
    # What no cluster explains is counted, and says no more of the others.
    labels_N = labels_N.masked_fill(partition.unexplained(sampled.z_NL, labels_N, sampled.x_NC), -1)
    noise = noise_of(sampled.x_NC, labels_N, partition.k) if isinstance(partition, CountSpectra) else math.nan
    centres_KL, _, sizes_K = _places(sampled.z_NL, labels_N, partition.k)
    usable_K = (sizes_K > 0) & (record.spreads_K > 0)
    chance_K = record.spreads_K.square() / sizes_K.clamp(min=1)
    square_K = ((centres_KL - record.latents_KL).square().sum(1) - chance_K).clamp(min=0) / record.spreads_K.square()
    log_total_N = _log_totals(sampled.x_NC) - record.log_totals_K[labels_N.clamp(min=0)]
    seen = log_total_N.isfinite() & (labels_N >= 0)
    if isinstance(partition, CountSpectra):
        here = record.noise if math.isnan(noise) else noise
        known_K = [float(counts) / record.noise if record.noise > 0 else math.inf for counts in record.counts_K]
        found_here = _strain_of_counts(partition, sampled.x_NC, labels_N, here, known_K)
        # Clusters that overlap are labelled otherwise than they were found, in the training as here.
        strain = math.sqrt(max(found_here**2 - record.strain**2, 0))
    else:
        strain = _strain_of_latents(record, centres_KL, sizes_K, chance_K)
    drift = Drift(
        verdict="same",
        reasons="",
        error=found.error / record.error if record.error > 0 else math.nan,
        unassigned=found.unassigned,
        unassigned_in_training=record.unassigned,
        latents=_weighted(square_K, sizes_K, usable_K) ** 0.5,
        counts=float(log_total_N[seen].mean().exp()) if seen.any() else math.nan,
        noise=noise / record.noise if record.noise > 0 else math.nan,
        certainty=found.certainty,
        certainty_in_training=record.certainty,
        response_lowest=1.0 if response is None else float(response.log_C.min().exp()),
        response_highest=1.0 if response is None else float(response.log_C.max().exp()),
        blur=0.0 if response is None else response.blur,
        strain=strain,
    )
    return judged(drift, by_counts=isinstance(partition, CountSpectra))


def judged(drift: Drift, *, by_counts: bool) -> Drift:
    """The same numbers with their verdict.

    Args:
        drift: the numbers.
        by_counts: whether the clusters are of counts, which are corrected for what shifts a scan. Latent points are
            not, and a shift that leaves labels right looks like one that does not: it counts as other.
    """
    other, shifted = _reasons_for_other(drift), _reasons_for_shifted(drift)
    if not by_counts:
        if drift.error > ERROR:
            shifted.append(f"reconstruction error {drift.error:.1f} times the training's")
        other, shifted = list(dict.fromkeys(other + shifted)), []
    if other:
        return replace(drift, verdict="other", reasons=", ".join(other))
    return replace(drift, verdict="shifted" if shifted else "same", reasons=", ".join(shifted))


def _reasons_for_other(drift: Drift) -> list[str]:
    reasons = []
    unassigned = drift.unassigned - drift.unassigned_in_training
    if unassigned > UNASSIGNED:
        reasons.append(f"{drift.unassigned:.0%} of the pixels are like no cluster")
    if not drift.strain <= STRAIN:
        reasons.append(f"its clusters have moved {drift.strain:.0%} of the way towards another cluster")
    if drift.certainty_in_training - drift.certainty > CERTAINTY:
        reasons.append(
            f"{1 - drift.certainty:.0%} of the pixels are undecided, "
            f"{1 - drift.certainty_in_training:.0%} in the training"
        )
    return reasons


def _reasons_for_shifted(drift: Drift) -> list[str]:
    reasons = []
    if _off(drift.counts) > LEVEL:
        reasons.append(f"{drift.counts:.2f} times the training's counts")
    if (drift.response_lowest, drift.response_highest) != (1, 1):
        reasons.append(f"response corrected by {drift.response_lowest:.2f} to {drift.response_highest:.2f}")
    if abs(drift.blur) > BLUR:
        reasons.append(f"{'coarser' if drift.blur > 0 else 'finer'} resolution corrected")
    if _off(drift.noise) > LEVEL:
        reasons.append(f"counts {drift.noise:.2f} times as noisy as the training's")
    if drift.strain > SHIFT:
        reasons.append(f"its clusters have moved {drift.strain:.0%} of the way towards another cluster")
    if drift.unassigned - drift.unassigned_in_training > FEW:
        reasons.append(f"{drift.unassigned:.0%} of the pixels are like no cluster")
    return reasons


def _off(ratio: float) -> float:
    """Absolute logarithm of a ratio; 0 for one that is not defined."""
    return abs(math.log(ratio)) if ratio > 0 else 0.0


class _Fit(NamedTuple):
    """How well the clusters and the network describe a sample."""

    error: float
    unassigned: float
    certainty: float

    @classmethod
    def of(cls, model: SegmentationModel, partition: Partition, sampled: Sampled, labels_N: Tensor) -> _Fit:
        squares, size = 0.0, 0.0
        for y_nD, z_nL in zip(torch.split(sampled.y_ND, BLOCK), torch.split(sampled.z_NL, BLOCK), strict=True):
            shown_nE = model.preprocess.inverse(y_nD)
            squares += float((model.decode(z_nL) - shown_nE).double().square().sum())
            size += float(shown_nE.double().abs().sum())
        memberships_NK = partition.memberships(sampled.z_NL, sampled.x_NC)
        unassigned_N = partition.unexplained(sampled.z_NL, labels_N, sampled.x_NC)
        return cls(
            error=squares / size if size else math.nan,
            unassigned=float(unassigned_N.double().mean()),
            certainty=float(memberships_NK.amax(1).double().mean()),
        )


def _log_totals(x_NC: Tensor) -> Tensor:
    total_N = x_NC.double().sum(1)
    return torch.where(total_N > 0, total_N, torch.nan).log().float()


def _places(z_NL: Tensor, labels_N: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean latent point (K, L), spread (K,) and size (K,) of each cluster; NaN where it has no points."""
    member_KN = (labels_N == torch.arange(k, device=labels_N.device)[:, None]).float()
    sizes_K = member_KN.sum(1)
    centres_KL = member_KN @ z_NL / sizes_K[:, None]
    square_N = (z_NL - centres_KL[labels_N.clamp(min=0)]).square().sum(1)
    return centres_KL, (member_KN @ square_N / sizes_K).sqrt(), sizes_K


def _weighted(value_K: Tensor, sizes_K: Tensor, usable_K: Tensor) -> float:
    """Mean over the pixels of what each cluster has; NaN where none is usable."""
    weight_K = sizes_K * usable_K
    return float((value_K.where(usable_K, 0) * weight_K).sum() / weight_K.sum()) if weight_K.sum() > 0 else math.nan


def _strain_of_counts(
    partition: CountSpectra, x_NC: Tensor, labels_N: Tensor, noise: float, known_K: list[float]
) -> float:
    """Of the mean compositions of the clusters' pixels; `known_K` are the counts that their spectra are taken from."""
    squares, weights = [], []
    for cluster in range(partition.k):
        own_nC = x_NC[labels_N == cluster]
        if len(own_nC) == 0 or partition.k == 1:
            continue
        left, apart = partition.differences(cluster, own_nC.double().sum(0), noise, known_K[cluster])
        squares.append(left / apart)
        weights.append(len(own_nC))
    if not weights:
        return 0.0
    return math.sqrt(sum(s * w for s, w in zip(squares, weights, strict=True)) / sum(weights))


def _strain_of_latents(record: TrainingRecord, centres_KL: Tensor, sizes_K: Tensor, chance_K: Tensor) -> float:
    """Of the mean latent points."""
    if len(sizes_K) == 1:
        return 0.0
    apart_KK = torch.cdist(record.latents_KL, record.latents_KL).fill_diagonal_(torch.inf).nan_to_num(torch.inf)
    left_K = ((centres_KL - record.latents_KL).square().sum(1) - chance_K).clamp(min=0)
    value_K = left_K / apart_KK.amin(1).square()
    return math.sqrt(_weighted(value_K, sizes_K, (sizes_K > 0) & value_K.isfinite()))


class ScanSample:
    """Some pixels of a scan, the same for the same seed.

    Args:
        spectra: what passes.
        seed: of the choice.
    """

    def __init__(self, spectra: CubeSpectra, seed: int) -> None:
        self._spectra = spectra
        mask_P = torch.tensor(spectra.cube.mask.reshape(-1))
        size = min(SAMPLE, max(1, SAMPLE_VALUES // spectra.alignment.target.channels))
        keys_P = torch.rand(len(mask_P), generator=torch.Generator().manual_seed(seed)).masked_fill_(~mask_P, 2.0)
        wanted_P = torch.zeros_like(mask_P)
        wanted_P[keys_P.argsort()[:size]] = True
        self._wanted_P = (wanted_P & mask_P).to(spectra.device)
        self._pieces: list[tuple[Tensor, Tensor, Tensor]] = []
        self.complete = False
        """Whether all of the scan has passed by."""

    def read(self) -> None:
        """Let the scan pass by once."""
        for piece in self._spectra.map(lambda piece: piece, self._wanted_P, "looking at the response"):
            self.add(piece)
        self.complete = True

    def add(self, piece: Piece) -> None:
        """Let a piece pass by."""
        chosen_N = self._wanted_P[piece.pixels_N]
        self._pieces.append((piece.pixels_N[chosen_N], piece.aligned_NC[chosen_N], piece.y_ND[chosen_N]))

    @property
    def x_NC(self) -> Tensor:
        """Spectra as measured, on the model's channels."""
        return torch.cat([x_nC for _, x_nC, _ in self._pieces])

    def sampled(self, z_PL: Tensor) -> Sampled:
        """With the latent points of the pixels; those that have none are left out."""
        pixels_N, x_NC, y_ND = (torch.cat(parts) for parts in zip(*self._pieces, strict=True))
        z_NL = z_PL[pixels_N]
        finite_N = z_NL.isfinite().all(1)
        return Sampled(x_NC[finite_N], y_ND[finite_N], z_NL[finite_N])
