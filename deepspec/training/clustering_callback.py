"""Clusters the latents of a fixed sample of validation spectra after every epoch, and watches for collapse.

Shapes: N sampled spectra, L latent dimensions, K clusters.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from deepspec.clustering import ClustererConfig, ConsensusKMeans, IKMeans, Partition, TrainingRecord
from deepspec.clustering.counts import are_counts
from deepspec.clustering.partitions import numbering
from deepspec.errors import UserError
from deepspec.functional import silhouette_estimate, stability
from deepspec.functional.kmeans import fitting_range
from deepspec.notes import note
from deepspec.renamed import has_old_words
from deepspec.segmentation.drift import record_training
from deepspec.training.encoding import encode_sample, refuse_diverged

if TYPE_CHECKING:
    from typing import Any

    import lightning

    from deepspec.data.shards.datamodule import SpectraDataModule
    from deepspec.training.spectral_module import SpectralModule


ANCHORS = 512
"""Spectra whose silhouettes among the measured ones are worked out."""

ENOUGH_PER_CLUSTER = 10
"""Validation spectra for each of `k_max` clusters; where there are fewer, training spectra are clustered with them."""

REFITS = 10
"""On resampled latents, for the stability."""

JUDGED = 4096
"""Most spectra of the sample that clusters are judged on."""

JUDGED_BY = ("silhouette_measured", "stability")


class Clustered(NamedTuple):
    """A clustering of the sample."""

    partition: Partition
    """What labels any point."""
    labels_N: Tensor
    """(N,) those of the sample."""
    score: float
    """Silhouette of the sample's latents, of an ensemble by IKMeans the mean of its networks'; NaN with one cluster."""


class CollapseWarning(UserWarning):
    """The latent space has lost what the silhouette was meant to bring out."""


@has_old_words
class IKMeansCallback(Callback):
    """Clusters a sample of validation latents, by IKMeans or by the run's `clusterer`; they go into `model.clusters`.

    Of an ensemble of networks the consensus is kept.

    Cluster numbers stay with their clusters from epoch to epoch (Hungarian matching on the sample); `finish` puts them
    into their final order: by size, the largest first, and equal ones by their centres.

    Logged: `ikmeans/k`, `ikmeans/silhouette` (of the sample's latents, not those of a cube), `ikmeans/silhouette_K` for
    every K; what settings can be compared by without labels, `ikmeans/silhouette_measured` (of the same clusters among
    the sample's spectra as measured) and
    `ikmeans/stability` (ARI of refits on resampled latents); `ikmeans/spread` (root mean square distance of the latents
    from their mean), `ikmeans/rank` (effective number of latent dimensions in use), `ikmeans/moved` (share of the
    sample that changed its cluster), `ikmeans/empty` (values of K that the sample has too few distinct latents for) and
    `ikmeans/warnings` (signs of a collapse).

    Args:
        k_min: fewest clusters tried.
        k_max: most clusters tried; never more than a quarter of the spectra.
        every_n_epochs: how often, counted from the first epoch; always after the last, and with 0 only then.
        sample: validation spectra that are clustered; training spectra if the run has no validation, its `clusterer`
            is not ikmeans or its network an ensemble; and both if it has fewer than ten validation spectra for each of
            `k_max` clusters.
        n_init: K-means runs per K.
        max_iter: Lloyd iterations of each, at the most.
        seed: of the sample and of the K-means seeds.
        clusterer: what divides the latents; `fit` takes it from the key `clusterer`. ikmeans takes its numbers from
            here.
    """

    def __init__(
        self,
        k_min: int = 3,
        k_max: int = 10,
        every_n_epochs: int = 1,
        sample: int = 4096,
        n_init: int = 3,
        max_iter: int = 100,
        seed: int = 0,
        clusterer: ClustererConfig | None = None,
    ) -> None:
        if not 2 <= k_min <= k_max:
            raise UserError(f"ikmeans: expected 2 <= k_min <= k_max, got k_min = {k_min}, k_max = {k_max}")
        if sample <= k_max or min(n_init, max_iter) < 1 or every_n_epochs < 0:
            raise UserError(
                f"ikmeans: expected sample > k_max, n_init and max_iter >= 1 and every_n_epochs >= 0, got sample = "
                f"{sample}, n_init = {n_init}, max_iter = {max_iter}, every_n_epochs = {every_n_epochs}"
            )
        self.k_min, self.k_max, self.every_n_epochs = k_min, k_max, every_n_epochs
        self.sample, self.n_init, self.max_iter, self.seed = sample, n_init, max_iter, seed
        self.clusterer = clusterer or ClustererConfig()
        """What divides the latents."""
        self.settles = True
        """Whether the clusters get their final form after the last epoch. Not in `fit`, which goes back to the epoch
        that is kept and calls `finish` itself."""
        self.clustered_at = -1
        """The epoch of the latest clustering."""
        self.signs: list[str] = []
        """Of a collapse, in that epoch."""
        self._spectra: Tensor | None = None
        self._latest: tuple[int, Clustered] | None = None
        self._history: list[dict[str, float]] = []

    def setup(self, trainer: lightning.Trainer, pl_module: SpectralModule, stage: str) -> None:  # type: ignore[override]
        """Tell the model, and so its checkpoints, what is looked for, where no configuration of `fit` does."""
        if stage == "fit" and self.settles:
            pl_module.run_config = ""
            pl_module.k_range, pl_module.clusterer = (self.k_min, self.k_max), self.clusterer
            names = ("k_min", "k_max", "every_n_epochs", "sample", "n_init", "max_iter", "seed")
            pl_module.described["ikmeans"] = {name: getattr(self, name) for name in names}
            pl_module.described["clusterer"] = asdict(self.clusterer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Cluster, keep the numbering, log, and warn of a collapse."""
        due = self.every_n_epochs > 0 and trainer.current_epoch % self.every_n_epochs == 0
        if not due and not self._is_last(trainer):
            return
        self.clustered_at = trainer.current_epoch
        z_NL, result, judged = self._clustered(trainer, pl_module)
        logged = {"spread": _spread(z_NL), "rank": _effective_rank(z_NL)}
        if result is None:
            logged |= {"k": 1.0, "silhouette": math.nan, **dict.fromkeys(JUDGED_BY, math.nan)}
        else:
            self._latest = trainer.global_step, result
            logged["moved"] = self._store(trainer, pl_module, z_NL, result)
            scores = result.partition.search.scores
            logged |= {"k": float(result.partition.k), "silhouette": result.score, **judged}
            logged |= {f"silhouette_{k}": score for k, score in scores.items()}
            logged["empty"] = float(sum(math.isnan(score) for score in scores.values()))
        reconstruction = trainer.callback_metrics.get(
            "val/reconstruction", trainer.callback_metrics["train/reconstruction"]
        )
        self._history.append({**logged, "reconstruction": float(reconstruction)})
        self.signs = signs_of_collapse(self._history, self._fewest(result))
        logged["warnings"] = float(len(self.signs))
        pl_module.log_dict({f"ikmeans/{name}": value for name, value in logged.items()})
        for message in self.signs:
            if trainer.is_global_zero:
                warnings.warn(f"epoch {trainer.current_epoch}: {message}", CollapseWarning, stacklevel=2)
        if self.settles and self._is_last(trainer):
            self.finish(trainer, pl_module, same_weights=True)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Cluster for the first time in the middle of an epoch: a checkpoint may be written after a validation."""
        within = trainer.state.fn == "fit" and not trainer.sanity_checking and not trainer.is_last_batch
        if within and self.every_n_epochs > 0 and not int(pl_module.clusters.count):
            z_NL, result, _ = self._clustered(trainer, pl_module, judged=False)
            if result is not None:
                self._store(trainer, pl_module, z_NL, result)

    def _is_last(self, trainer: lightning.Trainer) -> bool:
        """Whether no epoch follows this one."""
        epochs = trainer.max_epochs  # -1 where there is no bound
        ended = epochs is not None and 0 <= epochs <= trainer.current_epoch + 1
        return ended or 0 <= trainer.max_steps <= trainer.global_step or trainer.should_stop

    @torch.no_grad()
    def finish(
        self, trainer: lightning.Trainer, model: SpectralModule, *, same_weights: bool = False
    ) -> Clustered | None:
        """Cluster with the final weights and keep the clusters, the largest first.

        Args:
            trainer: after training.
            model: with its final weights.
            same_weights: whether they are those that the training ended with, whose clusters may be known.

        Returns:
            The clustering; None if the latents have fewer than k_min distinct positions.
        """
        if same_weights and self._latest is not None and self._latest[0] == trainer.global_step:
            result: Clustered | None = self._latest[1]
        else:
            _, result, _ = self._clustered(trainer, model, judged=False)
        if result is not None:
            model.clusters.set(result.partition.to(model.device))
            model.clusters.record = self._recorded(trainer, model)
        return result

    def _recorded(self, trainer: lightning.Trainer, model: SpectralModule) -> TrainingRecord:
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
        self, trainer: lightning.Trainer, model: SpectralModule, *, judged: bool = True
    ) -> tuple[Tensor, Clustered | None, dict[str, float]]:
        """Latents of the sample, their clustering, and what it is judged by, if that is wanted.

        Rank 0's, so that no rank's can differ by rounding.
        """
        found: tuple[Tensor, Clustered | None, dict[str, float]] = (torch.empty(0), None, {})
        if trainer.is_global_zero:
            z_NL = self.latents(trainer, model)
            result = self._cluster(z_NL, model.axis.unit, model.network.members)
            found = z_NL, result, self._judge(z_NL, result) if judged and result is not None else {}
        return trainer.strategy.broadcast(found)

    def _judge(self, z_NL: Tensor, result: Clustered) -> dict[str, float]:
        """Silhouette of the clusters among the measured spectra, whose distances no training can change; stability."""
        assert self._spectra is not None
        k = result.partition.k
        if math.isnan(result.score):
            return dict.fromkeys(JUDGED_BY, math.nan)
        generator = torch.Generator().manual_seed(self.seed)
        spectra_NC, labels_N, z_NL = self._spectra[:JUDGED], result.labels_N[:JUDGED], z_NL[:JUDGED]
        if len(torch.unique(labels_N)) < k:
            return dict.fromkeys(JUDGED_BY, math.nan)
        anchors = max(ANCHORS, 2 * k)
        silhouette = silhouette_estimate(spectra_NC.float(), labels_N, anchors, generator=generator).score
        stable = stability(z_NL, labels_N, k, refits=REFITS, n_init=self.n_init, generator=generator)
        return dict(zip(JUDGED_BY, (silhouette, stable.ari), strict=True))

    def _cluster(self, z_NL: Tensor, unit: str, members: int) -> Clustered | None:
        """The clustering of the sample; None where its latents coincide."""
        refuse_diverged(z_NL)
        assert self._spectra is not None
        if self.clusterer.kind != "ikmeans":
            return self._cluster_otherwise(z_NL, unit, members)
        k_min, k_max = fitting_range(self.k_min, self.k_max, len(z_NL))
        positions = min(len(torch.unique(own_NL, dim=0)) for own_NL in z_NL.chunk(members, 1))
        if len(z_NL) <= k_min or positions < k_min:
            return None
        generator = torch.Generator().manual_seed(self.seed)
        options = self.n_init, self.max_iter
        clusterer = IKMeans(*options) if members == 1 else ConsensusKMeans(members, *options)
        partition = clusterer.fit(z_NL, (k_min, k_max), generator)
        return Clustered(partition, partition.assign(z_NL), partition.search.scores[partition.k])

    def _cluster_otherwise(self, z_NL: Tensor, unit: str, members: int) -> Clustered | None:
        """By a clusterer that finds K itself, and may find 1."""
        assert self._spectra is not None
        if len(torch.unique(z_NL, dim=0)) < 2:
            return None
        x_NC = self._spectra.float()
        judged_by_spectra = self.clusterer.evidence == "counts" or (
            self.clusterer.evidence == "auto" and are_counts(x_NC, unit)
        )
        generator = torch.Generator().manual_seed(self.seed)
        partition = self.clusterer.build(members).fit(z_NL, None, generator, x_NC if judged_by_spectra else None)
        labels_N = partition.assign(z_NL, x_NC)
        score = math.nan
        if 2 <= len(torch.unique(labels_N)) < len(labels_N):
            score = silhouette_estimate(z_NL, labels_N, max(ANCHORS, 2 * partition.k), generator=generator).score
        return Clustered(partition, labels_N, score)

    def latents(self, trainer: lightning.Trainer, model: SpectralModule) -> Tensor:
        """Latents of the sample, on the CPU, in evaluation mode: the same on every rank."""
        if self._spectra is None:
            self._spectra = self._draw(trainer.datamodule, model.network.members)  # type: ignore[attr-defined]
        return encode_sample(model, self._spectra)

    def _fewest(self, result: Clustered | None) -> int:
        """The fewest clusters that were tried, which few spectra may have lowered."""
        if self.clusterer.kind != "ikmeans":
            return 2 if result is None else 1
        return self.k_min if result is None else min(result.partition.search.scores, default=self.k_min)

    def _draw(self, data: SpectraDataModule, members: int) -> Tensor:
        """The sample (N, C), of the type stored; what is other than asked for is said."""
        if "val" not in data.shards.splits or self.clusterer.kind != "ikmeans" or members > 1:
            # Blocks of validation may lack whole materials, which is no matter where K-means is only watched.
            spectra_NC = data.sample("train", self.sample, seed=self.seed)
        else:
            spectra_NC = data.sample("val", self.sample, seed=self.seed)
            validation = len(spectra_NC)
            if validation < min(ENOUGH_PER_CLUSTER * self.k_max, self.sample):
                more_NC = data.sample("train", self.sample - validation, seed=self.seed)
                spectra_NC = torch.cat([spectra_NC, more_NC])
                note(
                    f"clusters are looked for among {len(spectra_NC)} spectra of training and validation: "
                    f"{validation} of validation are too few for {self.k_max} clusters",
                )
        k_min, k_max = fitting_range(self.k_min, self.k_max, len(spectra_NC))
        if self.clusterer.kind == "ikmeans" and (k_min, k_max) != (self.k_min, self.k_max):
            note(
                f"K from {k_min} to {k_max} instead of {self.k_min} to {self.k_max}: {len(spectra_NC)} spectra are "
                "too few for more",
            )
        return spectra_NC

    def _store(self, trainer: lightning.Trainer, model: SpectralModule, z_NL: Tensor, result: Clustered) -> float:
        """Put the clusters into the model under the numbers they had before; the share of points that moved."""
        numbered = self._numbered(model, z_NL, result) if trainer.is_global_zero else None  # it alone has the spectra
        found = trainer.strategy.broadcast(numbered)
        assert found is not None
        order, moved = found
        model.clusters.set(result.partition.reordered(order.argsort()).to(model.device))
        return moved

    def _numbered(self, model: SpectralModule, z_NL: Tensor, result: Clustered) -> tuple[Tensor, float]:
        """The number that each cluster had before, int64 (K,), and the share of points that moved."""
        k = result.partition.k
        if not int(model.clusters.count):
            return torch.arange(k), 1.0
        # With the old clusters and the new weights most points are where they were: that carries the numbers over.
        before = model.clusters.assign(z_NL.to(model.device), self.measured(model)).cpu()
        order = numbering(result.labels_N, before, k)
        return order, float((order[result.labels_N] != before).double().mean())

    def measured(self, model: SpectralModule) -> Tensor | None:
        """The sample as measured, once it was drawn, where the model's clusters are judged by it."""
        assert self._spectra is not None
        return self._spectra.float().to(model.device) if model.clusters.partition.needs_spectra else None


def ikmeans_of(trainer: lightning.Trainer) -> IKMeansCallback:
    """The callback that clusters."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, IKMeansCallback))  # type: ignore[attr-defined]


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
