"""Clusters the latents of a fixed sample of validation spectra after every epoch, and watches for collapse.

Shapes: N sampled spectra, L latent dimensions, K clusters.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from deepspec.clustering import ClustererConfig, IKMeans, Partition, TrainingRecord
from deepspec.clustering.countable import are_counts
from deepspec.clustering.numbering import numbering
from deepspec.errors import UserError
from deepspec.functional import silhouette_estimate, stability
from deepspec.segmentation.drift import record_training
from deepspec.training.divergence import refuse_diverged
from deepspec.training.encoding import encode_sample

if TYPE_CHECKING:
    from typing import Any

    import lightning

    from deepspec.training.module import DeepClustering


ANCHORS = 512
"""Spectra whose silhouettes among the measured ones are worked out."""

REFITS = 10
"""On resampled latents, for the stability."""

JUDGED_BY = ("silhouette_measured", "stability")


class Clustered(NamedTuple):
    """A clustering of the sample."""

    partition: Partition
    """What labels any point."""
    labels_N: Tensor
    """(N,) those of the sample."""
    score: float
    """Silhouette of the sample's latents; NaN with a single cluster."""


class CollapseWarning(UserWarning):
    """The latent space has lost what the silhouette was meant to bring out."""


class IKMeansCallback(Callback):
    """Clusters a sample of validation latents, by IKMeans or by the run's `clusterer`; they go into `model.clusters`.

    Cluster numbers stay with their clusters from epoch to epoch (Hungarian matching on the sample); `finish` puts them
    into their final order: by size, the largest first, and equal ones by their centres.

    Logged: `ikmeans/k`, `ikmeans/silhouette`, `ikmeans/silhouette_K` for every K; what settings can be compared by
    without labels, `ikmeans/silhouette_measured` (of the same clusters among the measured spectra) and
    `ikmeans/stability` (ARI of refits on resampled latents); `ikmeans/spread` (root mean square distance of the latents
    from their mean), `ikmeans/rank` (effective number of latent dimensions in use), `ikmeans/moved` (share of the
    sample that changed its cluster), `ikmeans/empty` (values of K that the sample has too few distinct latents for) and
    `ikmeans/warnings` (signs of a collapse).

    Args:
        k_min: fewest clusters tried.
        k_max: most clusters tried.
        every_n_epochs: how often, counted from the first epoch; always after the last.
        sample: validation spectra (training spectra if the run has no validation) that are clustered.
        restarts: K-means runs per K.
        iterations: Lloyd iterations of each, at the most.
        seed: of the sample and of the K-means seeds.
    """

    def __init__(
        self,
        k_min: int = 3,
        k_max: int = 10,
        every_n_epochs: int = 1,
        sample: int = 4096,
        restarts: int = 3,
        iterations: int = 100,
        seed: int = 0,
    ) -> None:
        if not 2 <= k_min <= k_max:
            raise UserError(f"ikmeans: expected 2 <= k_min <= k_max, got k_min = {k_min}, k_max = {k_max}")
        if sample <= k_max or min(every_n_epochs, restarts, iterations) < 1:
            raise UserError(f"ikmeans: expected sample > k_max and the other numbers >= 1, got sample = {sample}")
        self.k_min, self.k_max, self.every_n_epochs = k_min, k_max, every_n_epochs
        self.sample, self.restarts, self.iterations, self.seed = sample, restarts, iterations, seed
        self.clusterer = ClustererConfig()
        """What divides the latents; set by `fit` from the key `clusterer`. ikmeans takes its numbers from here."""
        self.clustered_at = -1
        """The epoch of the latest clustering."""
        self.signs: list[str] = []
        """Of a collapse, in that epoch."""
        self._spectra: Tensor | None = None
        self._history: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: DeepClustering) -> None:  # type: ignore[override]
        """Cluster, keep the numbering, log, and warn of a collapse."""
        if trainer.current_epoch % self.every_n_epochs and not self._is_last(trainer):
            return
        self.clustered_at = trainer.current_epoch
        z_NL, result, judged = self._clustered(trainer, pl_module)
        logged = {"spread": _spread(z_NL), "rank": _effective_rank(z_NL)}
        if result is None:
            logged |= {"k": 1.0, "silhouette": math.nan, **dict.fromkeys(JUDGED_BY, math.nan)}
        else:
            logged["moved"] = self._store(pl_module, z_NL, result)
            scores = result.partition.search.scores
            logged |= {"k": float(result.partition.k), "silhouette": result.score, **judged}
            logged |= {f"silhouette_{k}": score for k, score in scores.items()}
            logged["empty"] = float(sum(math.isnan(score) for score in scores.values()))
        reconstruction = trainer.callback_metrics.get(
            "val/reconstruction", trainer.callback_metrics["train/reconstruction"]
        )
        self._history.append({**logged, "reconstruction": float(reconstruction)})
        self.signs = signs_of_collapse(self._history, self.k_min)
        logged["warnings"] = float(len(self.signs))
        pl_module.log_dict({f"ikmeans/{name}": value for name, value in logged.items()})
        for message in self.signs:
            if trainer.is_global_zero:
                warnings.warn(f"epoch {trainer.current_epoch}: {message}", CollapseWarning, stacklevel=2)

    def _is_last(self, trainer: lightning.Trainer) -> bool:
        """Whether no epoch follows this one."""
        epochs = trainer.max_epochs  # -1 where there is no bound
        ended = epochs is not None and 0 <= epochs <= trainer.current_epoch + 1
        return ended or 0 <= trainer.max_steps <= trainer.global_step or trainer.should_stop

    @torch.no_grad()
    def finish(self, trainer: lightning.Trainer, model: DeepClustering) -> Clustered | None:
        """Cluster once more with the final weights and keep the clusters, the largest first.

        Returns:
            The clustering; None if the latents have fewer than k_min distinct positions.
        """
        if self.clusterer.kind != "ikmeans":
            self._spectra = self._drawn(trainer, "train")  # many more: clusters that are small there may be none in val
        _, result, _ = self._clustered(trainer, model)
        if result is not None:
            model.clusters.set(result.partition.to(model.device))
            model.clusters.record = self._recorded(trainer, model)
        return result

    def _recorded(self, trainer: lightning.Trainer, model: DeepClustering) -> TrainingRecord:
        """Rank 0's, as the clusters are."""
        record: TrainingRecord | None = None
        if trainer.is_global_zero:
            assert self._spectra is not None
            training = model.training
            model.eval()
            record = record_training(model, self._spectra.to(model.device)).to("cpu")
            model.train(training)
        found = trainer.strategy.broadcast(record)
        assert found is not None
        return found.to(model.device)

    def state_dict(self) -> dict[str, Any]:
        """The history, by which a resumed run knows what has got worse."""
        return {"history": self._history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the history."""
        self._history = state_dict["history"]

    def _clustered(
        self, trainer: lightning.Trainer, model: DeepClustering
    ) -> tuple[Tensor, Clustered | None, dict[str, float]]:
        """Latents of the sample, their clustering, and what it is judged by.

        Rank 0's, so that no rank's can differ by rounding.
        """
        found: tuple[Tensor, Clustered | None, dict[str, float]] = (torch.empty(0), None, {})
        if trainer.is_global_zero:
            z_NL = self.latents(trainer, model)
            result = self._cluster(z_NL, model.axis.unit)
            found = z_NL, result, {} if result is None else self._judge(z_NL, result)
        return trainer.strategy.broadcast(found)

    def _judge(self, z_NL: Tensor, result: Clustered) -> dict[str, float]:
        """Silhouette of the clusters among the measured spectra, whose distances no training can change; stability."""
        assert self._spectra is not None
        k = result.partition.k
        if math.isnan(result.score):
            return dict.fromkeys(JUDGED_BY, math.nan)
        generator = torch.Generator().manual_seed(self.seed)
        anchors = max(ANCHORS, 2 * k)
        silhouette = silhouette_estimate(self._spectra.float(), result.labels_N, anchors, generator=generator).score
        stable = stability(z_NL, result.labels_N, k, refits=REFITS, restarts=self.restarts, generator=generator)
        return dict(zip(JUDGED_BY, (silhouette, stable.ari), strict=True))

    def _cluster(self, z_NL: Tensor, unit: str) -> Clustered | None:
        """The clustering of the sample; None where its latents coincide."""
        refuse_diverged(z_NL)
        assert self._spectra is not None
        if self.clusterer.kind != "ikmeans":
            return self._cluster_otherwise(z_NL, unit)
        k_max = min(self.k_max, len(z_NL) - 1)
        if k_max < self.k_min or len(torch.unique(z_NL, dim=0)) < self.k_min:
            return None
        generator = torch.Generator().manual_seed(self.seed)
        partition = IKMeans(self.restarts, self.iterations).fit(z_NL, (self.k_min, k_max), generator)
        return Clustered(partition, partition.assign(z_NL), partition.search.scores[partition.k])

    def _cluster_otherwise(self, z_NL: Tensor, unit: str) -> Clustered | None:
        """By a clusterer that finds K itself, and may find 1."""
        assert self._spectra is not None
        if len(torch.unique(z_NL, dim=0)) < 2:
            return None
        x_NC = self._spectra.float()
        judged_by_spectra = self.clusterer.evidence == "counts" or (
            self.clusterer.evidence == "auto" and are_counts(x_NC, unit)
        )
        generator = torch.Generator().manual_seed(self.seed)
        partition = self.clusterer.build().fit(z_NL, None, generator, x_NC if judged_by_spectra else None)
        labels_N = partition.assign(z_NL, x_NC)
        score = math.nan
        if 2 <= len(torch.unique(labels_N)) < len(labels_N):
            score = silhouette_estimate(z_NL, labels_N, max(ANCHORS, 2 * partition.k), generator=generator).score
        return Clustered(partition, labels_N, score)

    def latents(self, trainer: lightning.Trainer, model: DeepClustering) -> Tensor:
        """Latents of the sample, on the CPU, in evaluation mode: the same on every rank."""
        if self._spectra is None:
            split = "val" if "val" in trainer.datamodule.shards.splits else "train"  # type: ignore[attr-defined]
            self._spectra = self._drawn(trainer, split)
        return encode_sample(model, self._spectra)

    def _drawn(self, trainer: lightning.Trainer, split: str) -> Tensor:
        drawn: Tensor = trainer.datamodule.sample(split, self.sample, seed=self.seed)  # type: ignore[attr-defined]
        return drawn

    def _store(self, model: DeepClustering, z_NL: Tensor, result: Clustered) -> float:
        """Put the clusters into the model under the numbers they had before; the share of points that moved."""
        k = result.partition.k
        order = torch.arange(k)
        moved = 1.0
        if int(model.clusters.count):
            # With the old clusters and the new weights most points are where they were: that carries the numbers over.
            before = model.clusters.assign(z_NL.to(model.device), self.measured(model)).cpu()
            order = numbering(result.labels_N, before, k)
            moved = float((order[result.labels_N] != before).double().mean())
        model.clusters.set(result.partition.reordered(order.argsort()).to(model.device))
        return moved

    def measured(self, model: DeepClustering) -> Tensor | None:
        """The sample as measured, once it was drawn, where the model's clusters are judged by it."""
        assert self._spectra is not None
        return self._spectra.float().to(model.device) if model.clusters.partition.needs_spectra else None


def signs_of_collapse(history: list[dict[str, float]], k_min: int) -> list[str]:
    """What the history of epochs says of a collapse, in words; empty if nothing.

    Args:
        history: per clustering, `k`, `silhouette`, `spread`, `rank` and `reconstruction`.
        k_min: the fewest clusters that were tried.
    """
    if not history:
        return []
    signs, now = [], history[-1]
    best_reconstruction = min(entry["reconstruction"] for entry in history)
    widest = max(entry["spread"] for entry in history)
    if now["k"] < k_min or now["spread"] < 1e-3 * widest or now["spread"] == 0:
        signs.append("latent collapse: the latents have drawn together in a point; lower gamma and beta, or the rate")
    elif now["silhouette"] > 0.98 and now["reconstruction"] > 1.2 * best_reconstruction:
        signs.append(
            f"silhouette collapse: silhouette {now['silhouette']:.3f} while the reconstruction has become "
            f"{now['reconstruction'] / best_reconstruction:.1f} times worse than its best; lower gamma"
        )
    if len(history) >= 5 and all(entry["k"] == k_min and entry["silhouette"] > 0.95 for entry in history[-5:]):
        signs.append(f"K is stuck at its minimum {k_min} with a silhouette above 0.95; lower gamma, or widen the range")
    return signs


def _spread(z_NL: Tensor) -> float:
    return float((z_NL - z_NL.mean(0)).square().sum(1).mean().sqrt())


def _effective_rank(z_NL: Tensor) -> float:
    """Exponential of the entropy of the covariance's spectrum (Roy & Vetterli 2007): 1 to L."""
    values = torch.linalg.svdvals((z_NL - z_NL.mean(0)).double()).square()
    share = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return float(torch.exp(-(share * share.clamp(min=1e-300).log()).sum()))
