"""The command line of `fit`: a LightningCLI with fixed classes, so that a configuration is flat.

Keys: `seed_everything`, `run_dir`, `model`, `data`, `loss_schedule`, `ikmeans`, `clusterer`, `tracking`, `trainer`.
A run folder holds

    config.yaml         the resolved configuration
    metrics.csv         every logged number, one row per epoch
    checkpoints/        last.ckpt to resume from, best.ckpt by the target
    model.ckpt          the result: network, preprocessing, clusters, axis, configuration
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import lightning
import yaml
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from deepspec.clustering import ClustererConfig
from deepspec.command import OneLineErrors
from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.errors import UserError
from deepspec.files import CONFIG, METRICS, MODEL, complete_or_absent
from deepspec.models.spectral_model import parts_of, read_checkpoint
from deepspec.notes import note
from deepspec.training.callbacks import EpochLine, IKMeansCallback, LossSchedule
from deepspec.training.checkpoints import DurableCheckpoints, KeptEpoch, NextEpoch
from deepspec.training.clustering_callback import ikmeans_of
from deepspec.training.deep_baselines import check_begun, check_run
from deepspec.training.epoch_log import EpochLog
from deepspec.training.fit_help import OWN, PROG
from deepspec.training.module import DeepClustering
from deepspec.training.rank_watch import RankWatch
from deepspec.training.ranks import ddp_strategy
from deepspec.training.run_folder import (
    CHECKPOINTS,
    changed,
    checkpoint_to_resume,
    drop_earlier,
    one_writer,
    put_back,
    refuse_earlier_run,
    set_aside,
)
from deepspec.training.step_threads import StepThreads
from deepspec.training.tracking import Tracking
from deepspec.training.tracking_config import TrackingConfig
from deepspec.training.trainer_settings import PRECISIONS, check_settings, lightning_in_one_line, shows_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightning.pytorch.loggers import Logger
    from torch import Tensor


OWN_CLASSES = ("model.network", "model.optimizer", "model.scheduler")
"""Keys below which a class of another package can be named."""


class Refused(SystemExit):
    """What the parser refuses.

    No `UserError`: the parser tries the alternatives of a key's type and would take one of those for a failed attempt.

    Attributes:
        message: one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message


class FitParser(OneLineErrors, LightningArgumentParser):
    """LightningCLI's parser, with errors of one line that `run_fit` hands on."""

    def refuse(self, message: str) -> NoReturn:
        """Raise what `run_fit` makes a `UserError` of."""
        raise Refused(message)


class FitCLI(LightningCLI):
    """Parses a run's configuration and runs it.

    Args:
        args: the command line, without the program's name; further ranks are started with the same.
        say: gets each line about the run; None sends them to the logger `deepspec`.
        live: whether a terminal gets one line of progress that is drawn anew.

    Raises:
        UserError: the configuration cannot be run.
        Refused: a key or its value is wrong.
        SystemExit: only help or the configuration was asked for.
    """

    model: DeepClustering
    datamodule: SpectraDataModule

    def __init__(self, args: Sequence[str], say: Callable[[str], None] | None = None, *, live: bool = False) -> None:
        self._args = list(args)
        self._say = say or note
        self._live = live
        # `run=False`: with sub-commands, hyper-parameters in a checkpoint win over the command line.
        super().__init__(
            DeepClustering,
            SpectraDataModule,
            run=False,
            save_config_callback=None,
            parser_class=FitParser,
            parser_kwargs={"prog": PROG, "description": "Fit a model to shards of spectra."},
            trainer_defaults={
                "max_epochs": 20,
                "enable_model_summary": False,
                "enable_progress_bar": None,  # a line of ours; Lightning's bar where it is asked for
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 1,  # everything is logged by epoch; 50, the default, warns of short epochs
            },
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=self._args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the keys of our own, and tie together what must agree."""
        for action in parser._actions:
            if action.dest in OWN_CLASSES:
                # These have a key `class_path` of their own; jsonargparse would take it for that of their type.
                action.basetype = None  # type: ignore[attr-defined]
        told = {key: text for key, (_, _, text) in OWN.items()}
        parser.add_argument("--run_dir", type=str, default="runs/run", help=told["run_dir"])
        parser.add_argument("--ckpt_path", type=str | None, default=None, help=told["ckpt_path"])
        parser.add_argument("--keep", type=Literal["best", "last"], default="best", help=told["keep"])
        parser.add_argument("--overwrite", type=bool, default=False, help=told["overwrite"])
        parser.add_lightning_class_args(LossSchedule, "loss_schedule")
        parser.add_lightning_class_args(IKMeansCallback, "ikmeans")
        parser.add_class_arguments(ClustererConfig, "clusterer")
        parser.add_class_arguments(TrackingConfig, "tracking")
        parser.link_arguments("data", "model.axis", compute_fn=_axis_of, apply_on="instantiate")
        parser.link_arguments("data", "model.training_spectra", compute_fn=_training_spectra_of, apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "ikmeans.seed", compute_fn=int)
        parser.link_arguments("clusterer", "ikmeans.clusterer", apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Settle the run folder before anything is read or built."""
        check_settings(self.config["trainer"])
        self.run_dir = Path(self.config["run_dir"])
        self.checkpoint = checkpoint_to_resume(self.run_dir, self.config["ckpt_path"])
        self.changed = changed(self.checkpoint)
        # A run that was killed before its first checkpoint has left nothing that must be kept.
        self.replaces = self.config["overwrite"] or self.config["ckpt_path"] is not None
        if _is_first_rank() and self.checkpoint is None:
            if self.config["ckpt_path"] is not None:
                self._say(f"{self.run_dir} has no checkpoint yet: the run begins")
            elif not self.replaces and not self.config["trainer"]["fast_dev_run"]:
                refuse_earlier_run(self.run_dir)

    def instantiate_classes(self) -> None:
        """Build what the configuration names; see Lightning."""
        with lightning_in_one_line("trainer"):
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """The trainer, with its log and checkpoints in the run folder."""
        settings = self.config_init["trainer"]  # with the loggers, callbacks and plugins that it names
        validates = "val" in self.datamodule.shards.splits and settings["limit_val_batches"] != 0
        self.monitor = "val/target" if validates else "train/target"
        given = settings["logger"]
        self.loggers: list[Logger] = []
        if given not in (None, True, False):
            self.loggers = given if isinstance(given, list) else [given]
        log = EpochLog(self.run_dir / METRICS, self._resume_at())
        self.config_init["ikmeans"].settles = False  # the epoch that is kept may be another than the last
        self.model.reading = self.datamodule.shards.parameters.get("reading")  # for the watched cube
        tracked = self.config_init["tracking"]
        callbacks = settings["callbacks"] or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        bar = shows_bar(settings, given=any(isinstance(each, ProgressBar) for each in callbacks))
        trial = settings["fast_dev_run"]
        self.tracking = Tracking(replace(tracked, kind=None) if trial else tracked, self.run_dir, log, self.model)
        self.watch = RankWatch(self._args)
        line = EpochLine(self._say, live=self._live and sys.stdout.isatty() and not bar)
        self.trainer_defaults["callbacks"] = [
            NextEpoch(),
            StepThreads(),
            self.watch,
            line,
            self.tracking,
        ]
        if not trial:
            self.trainer_defaults["callbacks"] += [
                KeptEpoch(log, self.run_dir / CHECKPOINTS, "best", self.monitor),
                # Of its own: `save_last` of the other would write only in epochs that are the best so far.
                KeptEpoch(log, self.run_dir / CHECKPOINTS, "last", None),
            ]
        kwargs |= {
            "logger": [log, *self.loggers],
            "default_root_dir": str(self.run_dir),
            "enable_progress_bar": bar,
        }
        if settings["strategy"] == "ddp":
            kwargs["strategy"] = ddp_strategy(unused=self.model.may_leave_out)
        more = settings["plugins"] or []
        kwargs["plugins"] = [DurableCheckpoints(), *(more if isinstance(more, list) else [more])]
        with lightning_in_one_line("trainer", ValueError, RuntimeError):
            trainer = super().instantiate_trainer(**kwargs)
        log.follow(trainer)
        return trainer

    def _resume_at(self) -> int:
        """The epoch that training begins with."""
        if self.checkpoint is None:
            return 0
        content = read_checkpoint(self.checkpoint)
        with parts_of(self.checkpoint):
            done: int = content["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"]
        return done

    def fit(self) -> Path | None:
        """Train, cluster with the weights that are kept, and write `model.ckpt`.

        Returns:
            Its path; None of a `fast_dev_run`, which tries a few batches and writes nothing.
        """
        if self.config["trainer"]["fast_dev_run"]:
            self._try()
            return None
        first = _is_first_rank()
        with one_writer(self.run_dir) if first else nullcontext(), self.watch.watch(self.trainer):
            if first and self.checkpoint is None and not self.replaces:
                refuse_earlier_run(self.run_dir)
            if first and changed(self.checkpoint) != self.changed:
                raise UserError(f"{self.checkpoint}: another run has just written it; give the command again")
            try:
                return self._fit()
            except BaseException:
                if first:
                    put_back(self.run_dir)
                raise

    def _fit(self) -> Path:
        self._check_training()  # before anything is written
        self._check_network()  # likewise
        if self.model.preprocess.needs_neighbours:
            self.datamodule.shards.read_neighbours()  # likewise
        self.model.seed = int(self.config["seed_everything"])
        self.model.run_config = self.parser.dump(self.config, skip_none=False)
        if _is_first_rank():
            if self.checkpoint is None:
                set_aside(self.run_dir)
            with complete_or_absent(self.run_dir / CONFIG, durable=True) as part:
                part.write_text(self.model.run_config)
            self._announce()
        settings = yaml.safe_load(self.model.run_config)
        for logger in self.loggers:
            logger.log_hyperparams(settings)
        with lightning_in_one_line("trainer"):
            self.trainer.fit(self.model, self.datamodule, ckpt_path=self.checkpoint)
        check_begun(self.model.deep_baseline)
        best = self._take_best()
        result = ikmeans_of(self.trainer).finish(self.trainer, self.model, same_weights=not best)
        path = self.run_dir / MODEL
        self.trainer.save_checkpoint(path, weights_only=True)
        if self.trainer.is_global_zero:
            drop_earlier(self.run_dir)
            found = (
                "no clusters: the latents coincide, or the spectra are too few"
                if result is None
                else f"K = {result.partition.k}, by {result.partition.search.evidence}; "
                + (
                    "one material"
                    if result.partition.k == 1
                    else f"silhouette of the latents of {len(result.labels_N)} spectra {result.score:.3f}"
                )
            )
            for line in (found, f"model {path}", f"metrics {self.run_dir / METRICS}"):
                self._say(line)
        self.tracking.finish(self.trainer, self.model, path)
        return path

    def _check_network(self) -> None:
        """Refuse to go on with another network than the run was begun with."""
        if self.checkpoint is None:
            return
        with parts_of(self.checkpoint):
            begun: dict[str, Tensor] = read_checkpoint(self.checkpoint)["state_dict"]
        for name, value in self.model.network.state_dict(prefix="network.").items():
            then, now = tuple(begun[name].shape) if name in begun else "not there", tuple(value.shape)
            if then != now:
                raise UserError(
                    f"{self.checkpoint}: the run was begun with another network ({name} is {then}, and {now} by this "
                    "configuration): take model.network and model.preprocess back, or begin anew with --overwrite true "
                    "and without --ckpt_path"
                )

    def _check_training(self) -> None:
        """Refuse what could only fail after something was written."""
        self.model.check_rate()
        schedules = self.config_init["loss_schedule"].schedules
        check_run(self.model.deep_baseline, schedules, self.trainer.max_epochs)

    def _try(self) -> None:
        """Train and validate on a few batches, which shows that a configuration runs; nothing is written."""
        self._check_training()
        self.model.seed = int(self.config["seed_everything"])
        with self.watch.watch(self.trainer), lightning_in_one_line("trainer"):
            self.trainer.fit(self.model, self.datamodule)
        if self.trainer.is_global_zero:
            batches = int(self.config["trainer"]["fast_dev_run"])
            self._say(f"trainer.fast_dev_run: {batches} of each kind of batch passed; nothing was written")

    def _announce(self) -> None:
        data, model = self.datamodule, self.model
        rows = "  ".join(f"{split} {data.rows(split):,}" for split in data.shards.splits)
        parameters = sum(p.numel() for p in model.network.parameters())
        widths = model.network_config.encoder
        narrowed = widths is not None and widths != self.config["model"]["network"]["encoder"]
        self._say(
            f"spectra of {model.axis.channels} channels, {model.preprocess.channels_out} after preprocessing: {rows}"
        )
        self._say(
            f"network with {parameters:,} parameters"
            + (f" (hidden widths {widths} for so few spectra, by model.network.spectra_per_node)" if narrowed else "")
            + f"; run folder {self.run_dir}; watching {self.monitor}"
        )

    def _take_best(self) -> bool:
        """Go back to the epoch with the best target, if that is what is kept; whether that was done."""
        best = self.run_dir / "checkpoints" / "best.ckpt"
        wanted = self.config["keep"] == "best" and best.is_file()
        if wanted:
            self.model.load_state_dict(read_checkpoint(best)["state_dict"])
        return wanted


REFUSED = ("trainer.barebones", "trainer.default_root_dir")
"""Keys of Lightning's trainer that a run has no use for: it has a folder, checkpoints and a log."""

TOLD = {
    "trainer.precision": f"What the network computes in: {', '.join(PRECISIONS)}. Weights, preprocessing, losses and "
    "clusters are float32 in each.",
    "trainer.logger": "A logger of Lightning's, or a list of them, beside metrics.csv, which is always written: "
    "CSVLogger, TensorBoardLogger, MLFlowLogger and WandbLogger, each if its package is installed.",
    "trainer.fast_dev_run": "Train and validate on so many batches (true: one), which shows that a configuration runs; "
    "nothing is written.",
    "trainer.enable_checkpointing": "true or null; the checkpoints of a run cannot be switched off.",
    "trainer.enable_progress_bar": "true: the bar of Lightning in place of the line of progress.",
}
"""Where Lightning's own description offers what is refused, or says what does not hold here."""


def trainer_help() -> str:
    """What `--help.trainer` prints: the keys of Lightning's trainer, as Lightning describes them."""
    parser = FitParser(prog=PROG, usage=argparse.SUPPRESS, add_help=False)
    parser.add_lightning_class_args(lightning.Trainer, "trainer")
    for action in parser._actions:
        if action.dest in REFUSED:
            action.help, action.metavar = argparse.SUPPRESS, None
        elif action.dest in TOLD:
            action.help = TOLD[action.dest]
        if action.dest == "trainer.precision":  # its type is shown too, and this parser only shows
            action._typehint = Literal[PRECISIONS] | None  # type: ignore[attr-defined]
    return str(parser.format_help()).strip()


def _is_first_rank() -> bool:
    """Whether this process is rank 0, before there is a trainer to ask."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _axis_of(data: SpectraDataModule) -> dict[str, Any]:
    return data.axis.to_dict()


def _training_spectra_of(data: SpectraDataModule) -> int:
    return data.rows("train") if "train" in data.shards.splits else 0
