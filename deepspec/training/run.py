"""A training from a configuration: what `fit` does, as a call. `deepspec.train` is here.

Importing this is quick; Lightning is loaded when something is trained.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.errors import UserError, described
from deepspec.presets import find_config
from deepspec.renamed import deprecated, renamed_keys, tell
from deepspec.training.overrides import with_overrides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from deepspec.training.cli import FitCLI
    from deepspec.training.module import DeepClustering


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """What a training has left.

    >>> run = deepspec.train("xrf", **{"data.root": "shards", "run_dir": "runs/mine"})  # doctest: +SKIP
    >>> deepspec.segment_cube(deepspec.read_cube("scan.h5"), run.model)  # doctest: +SKIP
    """

    model: DeepClustering
    """With the weights of the epoch that was kept and its clusters, on the CPU, in evaluation mode."""
    metrics: dict[str, list[float]]
    """The columns of metrics.csv, a number per epoch, NaN where an epoch logged none. `pandas.DataFrame(run.metrics)`
    is the table. Empty after a `fast_dev_run`, which writes nothing."""
    folder: Path
    """The folder of the run, with model.ckpt, config.yaml, metrics.csv and checkpoints/."""
    kept: int | None
    """Place in `metrics` of the epoch whose weights the model has; None where there are no metrics."""

    def __repr__(self) -> str:
        clusters = int(self.model.clusters.count)
        lines = [
            f"Run in {self.folder}",
            f"  model: {self.model.axis.channels} channels, {self.model.network.latent} latent dimensions, "
            + (f"{clusters} cluster{'s' * (clusters > 1)}" if clusters else "no clusters"),
        ]
        if self.kept is not None:
            target = "val/target" if "val/target" in self.metrics else "train/target"
            lines.append(
                f"  epochs: {len(self.metrics['epoch'])}, kept {self.metrics['epoch'][self.kept]:.0f} with {target} "
                f"{self.metrics.get(target, [math.nan] * (self.kept + 1))[self.kept]:.4g}"
            )
        return "\n".join(lines)


def train(config: str | Path | Mapping[str, Any] | None = None, /, **overrides: Any) -> Run:
    """Train a model on shards of spectra, exactly as `deepspec fit` does with the same configuration.

    A run writes its folder (`run_dir`), tells its epochs to the logger `deepspec`, whose lines stand on standard
    error, and refuses to write over an earlier run unless
    `overwrite` is true or `ckpt_path` is "last". Settings of logging and warnings, the states of the random generators
    of torch, NumPy and Python, and the environment are afterwards what they were.

    >>> deepspec.train("xrf", data={"root": "shards"}, **{"trainer.max_steps": 200})  # doctest: +SKIP

    Args:
        config: name of a preset ("xrf"), path of a YAML file, or a mapping of the same keys. None takes the experiment
            that is recommended for the kind of data in `data.root`, as the command does.
        **overrides: keys set over those of `config`: nested mappings, or dotted keys in `**{"trainer.max_epochs": 2}`.

    Returns:
        The model, its metrics and the folder.

    Raises:
        UserError: a key or a value is wrong, the data cannot be read, or the folder holds an earlier run; in one line.
    """
    return train_telling(config, overrides, None)


def train_telling(
    config: str | Path | Mapping[str, Any] | None, overrides: Mapping[str, Any], say: Callable[[str], None] | None
) -> Run:
    """As `train`, with the overrides as a mapping, and the lines of the run for a caller that shows them otherwise.

    Args:
        config: as for `train`.
        overrides: as for `train`.
        say: gets each line about the run; None sends them to the logger `deepspec`.
    """
    words = _words(config, {key: _plain(value, key) for key, value in overrides.items()})
    with _random_states_kept():
        return _as_run(run_fit(words, say))


def run_fit(words: Sequence[str], say: Callable[[str], None] | None = None, *, live: bool = False) -> FitCLI:
    """What `fit` does with the words of its command line; `train` and the command both come here.

    Args:
        words: without the program's name, with paths for the names of presets. Further ranks are started with them.
        say: gets each line about the run; None sends them to the logger `deepspec`.
        live: whether a terminal gets one line of progress that is drawn anew.

    Returns:
        The finished run.

    Raises:
        UserError: the configuration cannot be run.
        SystemExit: only help or the resolved configuration was asked for, or a signal ended the run.
    """
    from deepspec.training.cli import FitCLI, Refused  # Lightning takes seconds to import

    with lightning_in_plain_words():
        try:
            cli = FitCLI(words, say, live=live)
        except Refused as refused:
            raise UserError(refused.message) from refused
        cli.fit()
    return cli


@contextmanager
def lightning_in_plain_words() -> Iterator[None]:
    """Leave out Lightning's notices and advertisements, and print warnings as one line, while the block runs."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels, form = [logger.level for logger in loggers], warnings.formatwarning
    with warnings.catch_warnings():
        # Notices on GPUs, tips and advertisements; warnings stay.
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")  # when resuming
        # Lightning 2.6.6 calls what torch 2.13 deprecated.
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)", category=FutureWarning)
        # What is logged here is the same on every rank already.
        warnings.filterwarnings("ignore", message=r"It is recommended to use .*sync_dist=True")
        # The words of this process may be another verb's, or a user's own.
        warnings.filterwarnings("ignore", message=r"LightningCLI's args parameter is intended to run from within")
        # Where in Lightning a warning was raised tells a user nothing.
        warnings.formatwarning = lambda message, *_args, **_more: f"warning: {message}\n"
        try:
            yield
        finally:
            warnings.formatwarning = form
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _words(config: str | Path | Mapping[str, Any] | None, overrides: dict[str, Any]) -> list[str]:
    """The command line of a configuration. The parser takes YAML itself in place of a file's name."""
    old: dict[str, str] = {}
    overrides = renamed_keys(overrides, old)
    if config is None:
        laid_over = with_overrides({}, overrides)
        root = (laid_over.get("data") or {}).get("root")
        if root is not None and "preprocess" not in (laid_over.get("model") or {}):
            from deepspec.training.recommended import recommended_experiment

            config = recommended_experiment(str(root))
    if config is None:
        found = {}
    elif isinstance(config, (str, Path)):
        found = _read(str(config))
    elif hasattr(config, "keys"):
        found = with_overrides({}, _plain(config, "config"))
    else:
        raise UserError(f"train: expected a path, the name of a preset or a mapping of keys, got {described(config)}")
    found = renamed_keys(found, old)
    tell("keys", old, deprecated)
    return ["--config", yaml.safe_dump(with_overrides(found, overrides), sort_keys=False)]


def _read(name: str) -> dict[str, Any]:
    from jsonargparse import get_loader

    try:
        path = find_config(name, "experiments")
    except UserError as error:
        raise UserError(f"train: {str(error).removeprefix('--config ')}") from error
    try:
        # The parser's own loader: to YAML 1.1 as PyYAML reads it 1e-3 is a text.
        found = get_loader("yaml")(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"train: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"train: {path}: expected a mapping of keys, got {type(found).__name__}")
    return found


def _plain(value: Any, key: str) -> Any:
    """A value as YAML has it.

    Raises:
        UserError: it is an object that no YAML file could hold.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()  # a number of NumPy's, of which float64 is also Python's float
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value), key)
    if hasattr(value, "keys"):
        return {str(name): _plain(value[name], f"{key}.{name}") for name in value.keys()}  # noqa: SIM118  a mapping
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{key}[{place}]") for place, part in enumerate(value)]
    raise UserError(
        f"train: {key}: expected what a YAML file can hold (numbers, texts, lists, mappings), got {described(value)}; "
        "give a class as {'class_path': ..., 'init_args': {...}}"
    )


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Give the process back its random generators and the environment, which seeding a run sets anew."""
    from lightning.pytorch.utilities.seed import isolate_rng

    names = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
    before = {name: os.environ.get(name) for name in names}
    with isolate_rng():
        try:
            yield
        finally:
            for name, value in before.items():
                if value is not None:
                    os.environ[name] = value
                else:
                    os.environ.pop(name, None)


def _as_run(cli: FitCLI) -> Run:
    from deepspec.files import MODEL
    from deepspec.runs.folder import find_runs
    from deepspec.training.module import DeepClustering

    if cli.config["trainer"]["fast_dev_run"]:
        return Run(cli.model.cpu().eval(), {}, cli.run_dir, None)
    (recorded,) = find_runs([str(cli.run_dir)])
    return Run(DeepClustering.load(cli.run_dir / MODEL), recorded.history, cli.run_dir, recorded.kept)
