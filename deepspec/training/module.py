"""DeepClustering: a SpectralModel that learns, as a LightningModule.

Shapes: N spectra, D preprocessed channels, L latent dimensions.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
import yaml

from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.errors import UserError, described
from deepspec.files import complete_or_absent
from deepspec.models import NetworkConfig
from deepspec.models.autoencoder import Latent, reparameterise
from deepspec.models.spectral_model import FORMAT, VERSION, parts_of, read_checkpoint, trained_clusterer, trained_range
from deepspec.renamed import has_old_words, in_new_words
from deepspec.schedules import Schedule
from deepspec.training.clustering_callback import IKMeansCallback
from deepspec.training.compilation import compile_network
from deepspec.training.deep_baselines import DeepBaselineConfig, build_deep_baseline, check_run, start_epoch
from deepspec.training.encoding import encode_sample, refuse_diverged
from deepspec.training.epoch_log import EpochMeans
from deepspec.training.loss_schedule import LossSchedule
from deepspec.training.loss_terms import LossParts, OwnBatch, Weights
from deepspec.training.objective import MMDConfig, Objective, ObjectiveConfig
from deepspec.training.optimiser import LearningRate, OptimizerConfig, SchedulerConfig, build_optimiser
from deepspec.training.ranks import joint_rows
from deepspec.training.seeding import seed_draws
from deepspec.training.spectral_module import SpectralModule
from deepspec.training.thinning import check_shares, refuse_no_counts, thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Batch = dict[str, torch.Tensor]


@has_old_words
class DeepClustering(SpectralModule):
    """A (variational) autoencoder of spectra whose latent space is pulled into clusters.

    `fit` and `deepspec.train` train it from a configuration. A program's own Trainer does as well:

    >>> data = SpectraDataModule("shards")  # doctest: +SKIP
    >>> model = DeepClustering(data.axis.to_dict(), preprocess=["sqrt", {"step": "standard"}])  # doctest: +SKIP
    >>> callbacks = [LossSchedule(gamma={"kind": "step", "value": 0.01, "start": 5})]  # doctest: +SKIP
    >>> lightning.Trainer(max_epochs=20, callbacks=callbacks).fit(model, datamodule=data)  # doctest: +SKIP
    >>> model.save("model.ckpt")  # doctest: +SKIP

    A `LossSchedule` and an `IKMeansCallback` that the Trainer has are used; where it has none, `fit`'s own with their
    defaults join it. The latents are clustered after every epoch, so that each checkpoint has the clusters of its
    epoch, and those of the last epoch get their final order, by size.

    What the learning rate, the best checkpoint and early stopping watch is the *target*: the loss parts of the
    validation split put together with the weights that the schedules end at. Unlike the total it does not move when a
    weight does, and unlike the reconstruction alone it does not call the model before the ramp the best.

    Args:
        axis: calibration of the raw channels, as `SpectralAxis.to_dict` gives it; taken from the data by `fit`.
        network: shape of encoder and decoder.
        preprocess: steps from raw spectra to the network's input, in order (see `deepspec.preprocess`).
        objective: parts of the loss; their weights are the loss schedule's.
        optimizer: learning rate and its schedule.
        max_clusters: the most clusters that a checkpoint has room for.
        statistics_rows: training spectra that the statistics of `preprocess` are fitted on.
        sample_without_beta: whether a variational network draws its latents also while beta is 0; the published code
            does not.
        deep_baseline: a published deep clustering method in place of the silhouette, to compare with.
        training_spectra: how many there are, which bounds the widths of the network (`network.spectra_per_node`);
            taken from the data by `fit`. None: the widths are as given.
        compile: whether encoder and decoder are compiled (`torch.compile`) for training, which needs a compiler on this
            machine. The weights are what they would be up to rounding, but for dropout, whose masks are other ones.
        thinning: the least and the greatest share of its counts that the network sees of a training spectrum, such as
            [0.25, 1.0]: a share drawn for each spectrum in each step, and each count kept with that probability, as if
            the scan had been that much shorter. What it shall give is the whole spectrum, so the preprocessing needs
            the step `dose` (or `area`, `max`, `unit`), which makes the level of both the same. For frozen clusters of
            latents on shorter scans. Drawing takes 3 ms of a CPU core in a batch of 256 spectra with 400 counts in 512
            channels, 11 with 4,000 in 1,024. None: all counts.
        scheduler: a class that moves the learning rate, in place of `optimizer.schedule`.
    """

    def __init__(
        self,
        axis: dict[str, Any],
        network: NetworkConfig = NetworkConfig(),  # noqa: B008  frozen
        preprocess: list[str | dict[str, Any]] | None = None,
        objective: ObjectiveConfig = ObjectiveConfig(),  # noqa: B008  frozen
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008  frozen
        max_clusters: int = 64,
        statistics_rows: int = 20_000,
        sample_without_beta: bool = True,
        deep_baseline: DeepBaselineConfig | None = None,
        training_spectra: int | None = None,
        compile: bool = False,
        thinning: list[float] | None = None,
        scheduler: SchedulerConfig = SchedulerConfig(),  # noqa: B008  frozen
    ) -> None:
        super().__init__(axis, network, preprocess or [], max_clusters, training_spectra)
        self.optimizer, self.scheduler = optimizer, scheduler
        self.statistics_rows = statistics_rows
        self.sample_without_beta = sample_without_beta
        self.deep_baseline = build_deep_baseline(deep_baseline, network)
        self.objective = Objective(objective, network.ensemble, self.deep_baseline)
        self.thinning = check_shares(thinning)
        if self.thinning is not None and self.preprocess.invertible_to == "counts":
            raise UserError(
                "model.thinning: expected spectra without a level, for how many counts were left out nobody can tell; "
                "got preprocessing that keeps it: put dose first in model.preprocess"
            )
        if compile and network.class_path is not None:
            raise UserError(
                "model.compile: expected a network of deepspec's own beside it, got model.network.class_path: leave "
                "model.compile out, and let that class compile its own parts"
            )
        self.compiles = compile  # no setting of the model: what a checkpoint holds runs anywhere
        self.settings: dict[str, Any] = {
            "axis": axis,
            "network": self.network_config.plain(),
            "preprocess": self.preprocess.spec,
            "objective": asdict(objective),
            "optimizer": optimizer.plain(),
            "max_clusters": max_clusters,
            "statistics_rows": statistics_rows,
            "sample_without_beta": sample_without_beta,
            "deep_baseline": None if deep_baseline is None else asdict(deep_baseline),
            "thinning": thinning,
        }
        if scheduler.class_path is not None:
            self.settings["scheduler"] = asdict(scheduler)
        self._means = {"train": EpochMeans(), "val": EpochMeans(), "test": EpochMeans()}
        self._step_seed = 0
        self._rate: LearningRate | None = None
        self._rate_states: dict[str, Any] = {}
        self._rate_moved_at = 0  # the number of the step after which the learning rate was moved last

    @classmethod
    def load(cls, path: str | Path) -> DeepClustering:
        """The model of a checkpoint, on the CPU, with what its training was set to; see `SpectralModel.load`."""
        content = read_checkpoint(path)
        with parts_of(path):
            settings = in_new_words({"model": content[FORMAT]["settings"]})["model"]
            settings["network"] = NetworkConfig(**settings["network"])
            objective = dict(settings["objective"])
            settings["objective"] = ObjectiveConfig(**{**objective, "mmd": MMDConfig(**objective["mmd"])})
            settings["optimizer"] = OptimizerConfig(**settings["optimizer"])
            settings["scheduler"] = SchedulerConfig(**settings.get("scheduler", {}))
            if settings.get("deep_baseline") is not None:
                settings["deep_baseline"] = DeepBaselineConfig(**settings["deep_baseline"])
            model = cls(**settings)
            model.load_state_dict(content["state_dict"])
            model.reading = content[FORMAT].get("reading")
            model.k_range, model.clusterer = trained_range(content), trained_clusterer(content)
            model.ready = content[FORMAT].get("ready")
            model.run_config, model.seed = content[FORMAT]["config"], content[FORMAT]["seed"]
            model.weights = model.final_weights = _trained_weights(content)
        return model.eval()

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: torch.device | str | None = None, **kwargs: Any
    ) -> DeepClustering:
        """As `load`, by Lightning's name: the model of any checkpoint that `fit`, a Trainer or `save` wrote.

        Args:
            checkpoint_path: the file.
            map_location: device that the model is moved to; the CPU if not given.
            **kwargs: of Lightning's function, none of which has a meaning here but `strict` and `weights_only`, which
                are always true.

        Raises:
            UserError: as `load`; or another argument was given, for the checkpoint holds all settings.
        """
        for name, value in kwargs.items():
            if not (name in ("strict", "weights_only") and value in (None, True)) and value is not None:
                raise UserError(f"load_from_checkpoint: the checkpoint holds all settings; leave out {name}={value!r}")
        model = cls.load(checkpoint_path)
        return model if map_location is None else model.to(map_location)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that `load`, `segment` and `evaluate` read, as the model.ckpt of a run.

        Args:
            path: the file, which is replaced; it appears when it is complete. Its folder is made if missing.

        Raises:
            UserError: the statistics of the preprocessing are not there yet, so the file would be of no use.
        """
        if not self.preprocess.fitted:
            raise UserError(f"{path}: {_UNFITTED}")
        checkpoint: dict[str, Any] = {
            "epoch": self.current_epoch,
            "global_step": self.global_step,
            "pytorch-lightning_version": lightning.__version__,
            "state_dict": self.state_dict(),
        }
        self.on_save_checkpoint(checkpoint)
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        # Given a path, torch would write its temporary name into the archive: the same model would be another file.
        with complete_or_absent(place) as part, part.open("wb") as file:
            torch.save(checkpoint, file)

    # Using

    def forward(self, x_NC: Tensor) -> Tensor:
        """Latent points (N, L) of raw spectra, as `encode` gives them, but with gradient to the weights."""
        mean_NL: Tensor = self.network.encode(self.preprocess(x_NC)).mean_NL
        return mean_NL.float()

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Latent points and cluster numbers of a batch.

        Args:
            batch: of a `SpectraDataModule`, or raw spectra (N, C), alone or first in a list.
            batch_idx: its number.
            dataloader_idx: that of the loader; a `SpectraDataModule` has one for each split.

        Returns:
            `latents`, float32 (N, L), and, if the model has clusters, `labels`, int64 (N,), counted from 0, with -1
            where a spectrum holds a NaN. Rows that only fill a batch are left out.
        """
        given = _as_batch(batch)
        spectra_NC = _rows(given["spectra"], given["valid"])
        found = {"latents": self.encode(spectra_NC)}
        if int(self.clusters.count):
            needed = self.clusters.partition.needs_spectra
            found["labels"] = self.clusters.assign(found["latents"], spectra_NC.float() if needed else None)
        return found

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss parts of a batch of test spectra, with the weights that the training ended at: `test/target` and on."""
        self._step(_as_batch(batch), "test")

    # Training

    def configure_callbacks(self) -> Sequence[lightning.Callback]:
        """What a Trainer that trains this needs and does not have: the weights of the loss, and the clustering."""
        if self.trainer.state.fn != "fit":
            return []
        missing: list[lightning.Callback] = []
        present: list[lightning.Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if not any(isinstance(callback, LossSchedule) for callback in present):
            # A deep baseline brings a clustering loss of its own.
            off = Schedule("constant", 0.0)
            missing.append(LossSchedule() if self.deep_baseline is None else LossSchedule(gamma=off))
        if not any(isinstance(callback, IKMeansCallback) for callback in present):
            missing.append(IKMeansCallback())
        return missing

    def setup(self, stage: str) -> None:
        """Fit the statistics of the preprocessing on a sample of training spectra, the same on every rank.

        Raises:
            UserError: there are no training spectra for that, or they are on other channels; or, where nothing is
                trained, the statistics are not there yet.
        """
        if stage != "fit":
            if not self.preprocess.fitted:
                asked = str(getattr(self.trainer.state.fn, "value", stage))
                raise UserError(f"trainer.{asked}: {_UNFITTED}")
        else:  # a checkpoint to resume from is read later and brings the same
            data = _training_data(self.trainer)
            difference = self.axis.difference(data.axis)
            if difference is not None:
                raise UserError(f"{data.shards.root}: the spectra are not on the channels of the model: {difference}")
            check_run(self.deep_baseline, self.schedules, self.trainer.max_epochs)
            self.train()  # a model that was loaded is in evaluation mode, and Lightning would leave it there
            self.reading = data.shards.parameters.get("reading")
            sample_NC = data.sample("train", self.statistics_rows, seed=self.seed)
            if self.thinning is not None:
                refuse_no_counts(sample_NC)
            pairs = data.shards.read_neighbours() if self.preprocess.needs_neighbours else None
            self.preprocess.fit(sample_NC, None if pairs is None else torch.from_numpy(pairs))
            if self.trainer.is_global_zero:
                for note in self.preprocess.notes:
                    warnings.warn(note, stacklevel=1)
            if self.compiles:
                compile_network(self.network, self.trainer.strategy.root_device)

    def check_rate(self) -> None:
        """Refuse an optimiser or a schedule that could only fail later.

        Raises:
            UserError: a class that is named cannot serve.
        """
        tried = build_optimiser([torch.nn.Parameter(torch.zeros(1))], self.optimizer, self.network.members)
        LearningRate(tried, self.optimizer, self.scheduler, steps=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser. Its learning rate is moved here and not by Lightning; see `LearningRate`.

        Raises:
            UserError: a class that is named cannot serve, or a cosine is wanted for a run without an end.
        """
        optimiser = build_optimiser(self.parameters(), self.optimizer, self.network.members)
        steps = self.trainer.estimated_stepping_batches if self.optimizer.schedule == "cosine" else math.inf
        ends = None if math.isinf(steps) else int(steps)
        self._rate = LearningRate(optimiser, self.optimizer, self.scheduler, ends)
        self._rate.load(self._rate_states.get(self._rate.entry, {}))
        return optimiser

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Loss of a batch of raw spectra."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss parts of a batch of validation spectra."""
        self._step(batch, "val")

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed by place in the run alone, so that a resumed run draws what an uninterrupted one would have."""
        seed_draws(_seed_of(self.seed, self.current_epoch + 1, batch_idx, self.global_rank), self.device)
        self._step_seed = _seed_of(self.seed, self.current_epoch + 1, batch_idx, _ALL_RANKS)

    def on_validation_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Seed the same in every epoch: validation differs by the model only.

        Batches are dealt out to the ranks, so this is the number that the batch has in one process.
        """
        number = batch_idx * self.trainer.world_size + self.global_rank
        seed_draws(_seed_of(self.seed, 0, number, 0), self.device)
        self._step_seed = _seed_of(self.seed, 0, batch_idx, _ALL_RANKS)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the learning rate of the step."""
        assert self._rate is not None
        if self._rate.is_cosine:  # asking the trainer for the number of the step takes as long as a small layer
            self._rate.before_step(self.trainer.global_step)

    def on_train_epoch_end(self) -> None:
        """Move the learning rate by the target; see `LearningRate`."""
        assert self._rate is not None
        target = self.trainer.callback_metrics.get(self.monitor)
        self._rate.after_epoch(None if target is None else float(target))
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"])

    @property
    def monitor(self) -> str:
        """The metric to watch: the target, of the validation split if the run has one."""
        return "val/target" if "val/target" in self.trainer.callback_metrics else "train/target"

    def _step(self, batch: Batch, stage: str) -> Tensor | None:
        spectra = batch["spectra"]
        if stage != "train" and not batch["valid"].all():  # asking makes a GPU wait; training batches have no padding
            spectra = _rows(spectra, batch["valid"])
        if len(spectra) == 0 and not self.objective.config.global_batch:
            return None  # a rank's share of the last validation batch may be padding only
        # In mixed precision the network alone works in half precision: close spectra differ in digits that it lacks.
        with torch.autocast(self.device.type, enabled=False):
            x_ND, target_ND = self._seen_and_wanted(spectra, batch.get("target"), stage)
        mean_NL, log_variance_NL = self.network.encode(x_ND)
        latent = Latent(mean_NL.float(), None if log_variance_NL is None else log_variance_NL.float())
        z_NL = latent.mean_NL
        if self.network.variational and self._draws_latents():
            z_NL = reparameterise(latent)
        reconstruction_ND = self.network.reconstructions(z_NL).float()  # (S, N, D) of an ensemble
        with torch.autocast(self.device.type, enabled=False):
            parts = self._parts(x_ND, target_ND, reconstruction_ND, latent, z_NL, stage)
        logged = parts.named() | {"target": parts.target}
        logged |= {name: torch.tensor(float(number), device=self.device) for name, number in parts.numbers.items()}
        if len(spectra):
            self._means[stage].add(logged, len(spectra))
        return parts.total

    def _seen_and_wanted(self, x_NC: Tensor, target_NC: Tensor | None, stage: str) -> tuple[Tensor, Tensor]:
        """What the network sees of a batch of raw spectra, and what it shall give, both preprocessed."""
        if self.thinning is not None and stage == "train":
            seen_ND = self.preprocess(thinned(x_NC, *self.thinning))
            return seen_ND, self.preprocess(x_NC if target_NC is None else target_NC)
        seen_ND = self.preprocess(x_NC)
        return seen_ND, seen_ND if target_NC is None else self.preprocess(target_NC)

    def _parts(
        self,
        x_ND: Tensor,
        target_ND: Tensor,
        reconstruction_ND: Tensor,
        latent: Latent,
        z_NL: Tensor,
        stage: str,
    ) -> LossParts:
        """The loss parts of a batch."""
        mean_ML, z_ML = self._clustered_latents(latent.mean_NL, z_NL, stage)
        own = OwnBatch(x_ND, latent, z_NL)
        return self.objective(target_ND, reconstruction_ND, mean_ML, z_ML, self.weights, self.final_weights, own)

    def _clustered_latents(self, mean_NL: Tensor, z_NL: Tensor, stage: str) -> tuple[Tensor, Tensor]:
        """Means and drawn latents that MMD and silhouette are computed on: of this rank, or of all ranks together."""
        if not self.objective.config.global_batch:
            return mean_NL, z_NL
        both_ML = joint_rows(torch.cat([mean_NL, z_NL], 1), equal=stage == "train")
        seed_draws(self._step_seed, self.device)  # the same K-means seeds and prior draws on every rank
        mean_ML, z_ML = both_ML.chunk(2, 1)
        return mean_ML, z_ML

    @property
    def may_leave_out(self) -> bool:
        """Whether there are steps that some parameters have no part in: the log-variances; a deep baseline has none."""
        undrawn = self.network.variational and not self.sample_without_beta
        return self.deep_baseline is None and undrawn

    def _draws_latents(self) -> bool:
        """Whether what is decoded is drawn; vade's first stage is a plain autoencoder."""
        if self.deep_baseline is not None:
            return self.deep_baseline.begun
        return self.sample_without_beta or self.weights.beta > 0

    def on_train_epoch_start(self) -> None:
        """Begin the means of the epoch."""
        self._means["train"].clear()
        self._rate_moved_at = self.trainer.global_step
        if self.deep_baseline is not None:
            start_epoch(
                self.deep_baseline,
                self.current_epoch,
                self.network,
                self._latents_of_sample,
                seed=self.seed,
                optimisers=self.trainer.optimizers,
                share=self.trainer.strategy.broadcast,
            )

    def _latents_of_sample(self) -> Tensor:
        """Latents (N, L) of training spectra that a deep baseline begins with, on the CPU, in evaluation mode."""
        assert self.deep_baseline is not None
        spectra_NC = _training_data(self.trainer).sample("train", self.deep_baseline.config.sample, seed=self.seed)
        z_NL = encode_sample(self, spectra_NC)
        refuse_diverged(z_NL)
        return z_NL

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log the means with the last batch: callbacks look for them when the epoch ends, before the model is asked.

        The last is also the one that reaches `trainer.max_steps` within an epoch; asked to stop, Lightning validates.
        """
        if 0 <= self.trainer.max_steps <= self.trainer.global_step:
            self.trainer.should_stop = True
        if self._rate is not None and self._rate.moves_by_steps:
            if self.trainer.global_step > self._rate_moved_at:  # of several batches one may step
                self._rate.after_step()
            self._rate_moved_at = self.trainer.global_step
        if self.trainer.is_last_batch or self.trainer.should_stop:
            self.log_dict(self._means["train"].values("train/", self.trainer), on_step=False, on_epoch=True)

    def on_validation_epoch_start(self) -> None:
        """Begin the means of the validation split."""
        self._means["val"].clear()

    def on_validation_epoch_end(self) -> None:
        """Log the means of the validation split."""
        self.log_dict(self._means["val"].values("val/", self.trainer))

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Seed as for validation."""
        self.on_validation_batch_start(batch, batch_idx, dataloader_idx)

    def on_test_epoch_start(self) -> None:
        """Begin the means of the test split."""
        self._means["test"].clear()

    def on_test_epoch_end(self) -> None:
        """Log the means of the test split."""
        self.log_dict(self._means["test"].values("test/", self.trainer))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `load` needs, in plain types."""
        checkpoint[FORMAT] = {
            "version": VERSION,
            "settings": self.settings,
            "config": self.run_config or self._described(),
            "seed": self.seed,
            "weights": {**asdict(self.final_weights), "others": dict(self.final_weights.others)},
        }
        if self.reading is not None:
            checkpoint[FORMAT]["reading"] = self.reading
        if self.ready is not None:
            checkpoint[FORMAT]["ready"] = self.ready
        if self._rate is not None and (state := self._rate.state()):
            checkpoint[FORMAT][self._rate.entry] = state

    def _described(self) -> str:
        """What is known of a training without a configuration, as YAML."""
        model = {name: value for name, value in self.settings.items() if name != "axis"}
        return yaml.safe_dump({"seed_everything": self.seed, "model": model, **self.described}, sort_keys=False)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the state of the learning rate."""
        self._rate_states = checkpoint[FORMAT]


_UNFITTED = (
    "the statistics of the preprocessing are not there yet: train the model with a datamodule, load one that was "
    "trained (DeepClustering.load), or call model.preprocess.fit(spectra)"
)

_ALL_RANKS = 2**32
"""Stands for a rank where all draw the same."""


def _training_data(trainer: lightning.Trainer) -> SpectraDataModule:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, SpectraDataModule):
        raise UserError(
            "DeepClustering fits its preprocessing and its clusters on a sample of the training spectra: expected "
            f"trainer.fit(model, datamodule=SpectraDataModule(folder of shards)), got {described(data)} for datamodule"
        )
    return data


def _as_batch(batch: Any) -> Batch:
    """A batch of the datamodule, or one of a loader of spectra alone."""
    if isinstance(batch, dict):
        return batch
    spectra_NC = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
    if not isinstance(spectra_NC, torch.Tensor) or spectra_NC.ndim != 2:
        raise UserError(f"expected a batch of spectra (N, C), alone or first in a list, got {described(spectra_NC)}")
    return {"spectra": spectra_NC, "valid": torch.ones(len(spectra_NC), dtype=torch.bool, device=spectra_NC.device)}


def _trained_weights(content: dict[str, Any]) -> Weights:
    """The weights that the training of a checkpoint ended at; those of earlier versions are in its configuration."""
    if "weights" in content[FORMAT]:
        return Weights(**content[FORMAT]["weights"])
    schedules = (yaml.safe_load(content[FORMAT]["config"]) or {}).get("loss_schedule") or {}
    return Weights(**{name: schedule["value"] for name, schedule in schedules.items() if name in ("beta", "gamma")})


def _rows(spectra_NC: Tensor, valid_N: Tensor) -> Tensor:
    """Some rows; torch 2.6 cannot index uint16 by a mask, but the same bits in int16."""
    if spectra_NC.dtype == torch.uint16:
        return spectra_NC.view(torch.int16)[valid_N].view(torch.uint16)
    return spectra_NC[valid_N]


def _seed_of(seed: int, epoch: int, batch: int, rank: int) -> int:
    """One of 2^63 seeds, different for every place in a run."""
    mixed = seed
    for part in (epoch, batch, rank):
        mixed = (mixed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return mixed
