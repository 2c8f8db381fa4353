"""What a sweep file says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deepspec.errors import UserError, without_passwords

Direction = Literal["minimize", "maximize"]


@dataclass
class SamplerSettings:
    """How parameters are chosen.

    Args:
        kind: tpe (a model of what was good), random, qmc (evenly spread), nsga2 (evolution, for several objectives) or
            grid (every combination).
        startup: random trials before tpe uses its model.
        population: size of the population of nsga2.
    """

    kind: Literal["tpe", "random", "qmc", "nsga2", "grid"] = "tpe"
    startup: int = 10
    population: int = 20


@dataclass
class PrunerSettings:
    """How bad trials are stopped early; for one objective only.

    Args:
        kind: none, median (worse than half of the earlier trials at the same epoch), halving (successive halving) or
            hyperband (several of these).
        startup: number of trials that the median pruner lets run to their end before it stops any.
        warmup: number of epochs that the median pruner lets every trial have.
        min_epochs: number of epochs that halving and hyperband let every trial have.
        reduction: factor of halving and hyperband: one in this many trials goes on at each rung.
    """

    kind: Literal["none", "median", "halving", "hyperband"] = "none"
    startup: int = 5
    warmup: int = 3
    min_epochs: int = 3
    reduction: int = 3


@dataclass
class SweepSettings:
    """Try many settings of one experiment.

    Args:
        study: folder of the study; made if missing, continued if not. Workers with the same study and storage share it.
        experiment: configuration of `fit` that is varied.
        search: parameters that are varied: for each key its type, its limits or choices, and optionally `when`, the
            condition under which it applies.
        objectives: column of metrics.csv -> minimize or maximize; with several, the Pareto front is sought.
        overrides: keys of the experiment that are set for all trials.
        sampler: how parameters are chosen.
        pruner: how bad trials are stopped early.
        trials: number of trials, over all workers and restarts. The grid sampler needs none; if it is given, the grid
            takes at most this many of its points.
        seed: seed of the sampler. With one worker the n-th trial is the same again; with several it depends on the
            order in which trials end.
        seeds: of training (`seed_everything`): the trials take them in turn, a grid runs every point with each.
        epoch: epoch whose metrics are the value of a trial: kept (the one whose weights are in model.ckpt), last, or
            best (the best of each objective).
        time_limit_hours: hours after which this worker starts no new trial.
        trial_limit_hours: hours after which a trial is stopped and counts as failed.
        storage: journal (a file in the study's folder: one node), or URL of a PostgreSQL or MySQL database; environment
            variables such as $PGPASSWORD are filled in.
        workers: trials at once on this node; default as many as there are GPUs for, 1 without.
        devices_per_trial: GPUs, or processes on a CPU, of each trial; default the experiment's, 1 if it says auto.
        wait: whether a worker that finds no trial to begin stays while others still run, to take theirs over if they
            end early; false lets it leave, and its machine with it.
        retry_failed: run the trials again that have failed so far.
        report_only: run nothing; write the results of what there is.
    """

    study: str
    experiment: str
    search: dict[str, Any]
    objectives: dict[str, Direction]
    overrides: dict[str, Any] = field(default_factory=dict)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    trials: int | None = None
    seed: int = 0
    seeds: list[int] | None = None
    epoch: Literal["kept", "last", "best"] = "kept"
    time_limit_hours: float | None = None
    trial_limit_hours: float | None = None
    storage: str = "journal"
    workers: int | None = None
    devices_per_trial: int | None = None
    wait: bool = True
    retry_failed: bool = False
    report_only: bool = False

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.study)

    @property
    def name(self) -> str:
        """The study's name in its storage."""
        return self.folder.absolute().name

    @property
    def url(self) -> str | None:
        """Of the database, with environment variables filled in; None for a journal."""
        filled = os.path.expandvars(self.storage)
        return None if filled == "journal" else filled


def check_settings(settings: SweepSettings) -> None:
    """Refuse combinations that make no sense.

    Raises:
        UserError: the combination is impossible; the message names the key.
    """
    if not settings.objectives:
        raise UserError("objectives: expected at least one column of metrics.csv with minimize or maximize")
    if settings.trials is None and settings.sampler.kind != "grid":
        raise UserError("trials: expected how many, for any sampler but grid")
    for name in ("trials", "workers", "devices_per_trial", "time_limit_hours", "trial_limit_hours"):
        value = getattr(settings, name)
        if value is not None and value <= 0:
            raise UserError(f"{name}: expected more than 0, got {value}")
    if settings.pruner.kind != "none" and len(settings.objectives) > 1:
        raise UserError("pruner: with several objectives no trial can be called worse half-way; give kind: none")
    if settings.pruner.reduction < 2 or settings.pruner.min_epochs < 1:
        raise UserError("pruner: expected reduction of at least 2 and min_epochs of at least 1")
    if settings.sampler.startup < 0 or settings.sampler.population < 2:
        raise UserError("sampler: expected startup of at least 0 and population of at least 2")
    if settings.seeds == []:
        raise UserError("seeds: expected at least one, or null for the experiment's own")
    url = settings.url
    if url is not None and not url.startswith(("postgresql", "mysql")):
        raise UserError(
            f"storage: expected journal, or the URL of a PostgreSQL or MySQL database "
            f"(postgresql://USER:PASSWORD@HOST/DATABASE), got {without_passwords(settings.storage)!r}"
        )
    if not Path(settings.experiment).is_file():
        raise UserError(f"experiment: {settings.experiment}: no such file")
