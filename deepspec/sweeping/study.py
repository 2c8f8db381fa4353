"""A sweep's study, with Optuna's sampler and pruner: made by the first worker after all checks, joined by others."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

from deepspec.data.shards.manifest import MANIFEST, ShardSet
from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.renamed import in_new_words
from deepspec.sweeping.experiment import (
    check_objectives,
    dotted_keys,
    logged_columns,
    read_experiment,
    resolve_experiment,
)
from deepspec.sweeping.lost import counted
from deepspec.sweeping.space import Space
from deepspec.sweeping.storage import open_storage
from deepspec.training.overrides import with_overrides
from deepspec.workers.devices import environments, find_gpus

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, TrialState

    from deepspec.sweeping.settings import PrunerSettings, SamplerSettings, SweepSettings


class SeededByTrial(BaseSampler):
    """A sampler that is made anew for every trial with a seed of its own.

    With one seed for a worker, all workers would start with the same random trials, and so would every restart.

    Args:
        settings: which sampler.
        seed: of the sweep; with the trial's number and what is finished it decides what is drawn.
    """

    def __init__(self, settings: SamplerSettings, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self._samplers: dict[int, BaseSampler] = {}

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._samplers:
            self._samplers[trial.number] = _make_sampler(self._settings, self._seed, trial.number)
        return self._samplers[trial.number]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """See Optuna."""
        self._of(trial).before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """See Optuna."""
        self._of(trial).after_trial(study, trial, state, values)
        self._samplers.pop(trial.number, None)


def make_pruner(settings: PrunerSettings, epochs: int) -> BasePruner:
    """The pruner for trials of so many epochs."""
    if settings.kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=settings.startup, n_warmup_steps=settings.warmup)
    if settings.kind == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=settings.min_epochs, reduction_factor=settings.reduction
        )
    if settings.kind == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=settings.min_epochs,
            max_resource=max(epochs, settings.min_epochs),
            reduction_factor=settings.reduction,
        )
    return optuna.pruners.NopPruner()


def _make_sampler(settings: SamplerSettings, seed: int, number: int) -> BaseSampler:
    # The golden ratio of 2^32 keeps apart what seeds and numbers that follow each other give.
    mixed = (seed * 2654435769 + number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if settings.kind == "tpe":
            return TPESampler(n_startup_trials=settings.startup, seed=mixed, multivariate=True, group=True)
        if settings.kind == "nsga2":
            return NSGAIISampler(population_size=settings.population, seed=mixed)
        if settings.kind == "qmc":  # counts its points in the study, so all workers need one sequence
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    return RandomSampler(seed=mixed)


@dataclass(frozen=True)
class Sweep:
    """Everything that a worker needs.

    Attributes:
        settings: the sweep file's.
        space: what is varied.
        base: the experiment's complete configuration.
        study: Optuna's.
        environments: of each of the trials at once on this node.
        devices: of each trial.
        total: number of trials wanted.
    """

    settings: SweepSettings
    space: Space
    base: dict[str, Any]
    study: optuna.Study
    environments: list[dict[str, str]]
    devices: int
    total: int

    def config(self, trial: FrozenTrial, run_dir: os.PathLike[str] | str) -> dict[str, Any]:
        """The complete configuration of a trial that has been drawn."""
        overrides = self.space.overrides_of(trial.params)
        fixed: dict[str, Any] = {"run_dir": str(run_dir), "ckpt_path": None, "overwrite": False}
        if "trainer.devices" not in overrides:
            fixed["trainer.devices"] = self.devices
        if "seed" in trial.user_attrs:
            fixed["seed_everything"] = trial.user_attrs["seed"]
        return with_overrides(self.base, {**overrides, **fixed})


def open_sweep(settings: SweepSettings, environment: Mapping[str, str]) -> Sweep:
    """Check the sweep, and make or join its study.

    Args:
        settings: checked by `check_settings`.
        environment: of this process.

    Raises:
        UserError: anything that would make every trial fail, or another sweep under the same name.
    """
    space = Space(settings.search)
    _refuse_own_keys(space, settings)
    points = space.grid() if settings.sampler.kind == "grid" else None
    raw = read_experiment(settings.experiment, settings.overrides)
    definition = {
        "experiment": {key: value for key, value in raw.items() if key != "run_dir"},
        "search": settings.search,
        "objectives": settings.objectives,
        "epoch": settings.epoch,
    }
    data = _checksums(raw)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it says, the table says better
    workers = settings.workers or 1
    storage = None
    if settings.url is not None or settings.folder.exists():
        storage = open_storage(settings.url, settings.folder / "journal.log", workers)
    known = None if storage is None else _find(storage, settings.name)
    if known is None:
        _refuse_trials_without_a_study(settings)
    else:
        earlier = known.user_attrs["sweep"]
        earlier = {**earlier, "experiment": in_new_words(earlier["experiment"])}
        _refuse_another(earlier, definition, settings)
        _refuse_other_spectra(known.user_attrs.get("data"), data, settings)
    if known is None:
        note("checking the experiment and the limits of the search, then two batches of it; this takes a while once")
        base: dict[str, Any] = resolve_experiment(raw, space, settings.experiment)
    else:
        base = in_new_words(known.user_attrs["base"])
    devices = settings.devices_per_trial or _devices(base)
    places = environments(settings.workers, devices, find_gpus(base["trainer"]["accelerator"]), environment)
    if known is not None and known.user_attrs.get("devices", devices) != devices:
        raise UserError(
            f"study {settings.folder}: its trials had {known.user_attrs['devices']} device(s) each, which makes their "
            f"batches; {devices} were asked for: take --devices_per_trial back, or give another --study"
        )
    if known is None:
        columns = logged_columns(with_overrides(base, {"trainer.devices": devices}), places[0])
        check_objectives(settings.objectives, base, columns, settings.epoch)
        storage = storage or open_storage(settings.url, settings.folder / "journal.log", workers)
    assert storage is not None
    study = optuna.create_study(
        storage=storage,
        study_name=settings.name,
        directions=list(settings.objectives.values()),
        sampler=SeededByTrial(settings.sampler, settings.seed),
        pruner=make_pruner(settings.pruner, int(base["trainer"]["max_epochs"] or 1)),
        load_if_exists=True,
    )
    if known is None:
        study.set_user_attr("base", base)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(settings.objectives))
        study.set_user_attr("devices", devices)
        study.set_user_attr("data", data)
        study.set_user_attr("sweep", definition)
    total = settings.trials
    if points is not None:
        total = fill_grid(study, points, settings)
    assert total is not None
    return Sweep(settings, space, base, study, places, devices, total)


def _checksums(raw: Mapping[str, Any]) -> dict[str, list[int]] | None:
    """Of the shards of each split, which tell one folder's spectra from another's; None where there are no shards.

    What is the matter with a folder without shards is said when the experiment is checked.
    """
    root = raw.get("data", {}).get("root")
    if root is None or not (Path(root) / MANIFEST).is_file():
        return None
    shards = ShardSet(root)
    return {split: [entry.checksum for entry in shards.entries(split)] for split in shards.splits}


def _refuse_other_spectra(
    earlier: dict[str, list[int]] | None, now: dict[str, list[int]] | None, settings: SweepSettings
) -> None:
    """Studies of earlier versions do not know theirs."""
    if earlier is not None and now is not None and earlier != now:
        raise UserError(
            f"study {settings.folder}: data.root holds other spectra than those of its trials, whose values could not "
            "be compared: put the shards back, or give another --study"
        )


def _refuse_own_keys(space: Space, settings: SweepSettings) -> None:
    """A sweep gives every trial its folder, and with `seeds` its seed: what is drawn for them would not hold."""
    own = {"run_dir", "ckpt_path", "overwrite"} | ({"seed_everything"} if settings.seeds else set())
    for parameter in space.parameters:
        for key in own.intersection(parameter.keys):
            reason = "`seeds` says which" if key == "seed_everything" else "each trial has its own"
            raise UserError(f"search, {parameter.name}: {key} cannot be searched, {reason}")


def _refuse_trials_without_a_study(settings: SweepSettings) -> None:
    """Trials would all fail in folders that others have left."""
    if any(settings.folder.glob("trials/[0-9]*")):
        storage = "that database" if settings.url else settings.folder / "journal.log"
        raise UserError(
            f"{settings.folder / 'trials'} holds the trials of a study that is not in {storage}: "
            "give the --storage that it is in, another --study, or move that folder away"
        )


def fill_grid(study: optuna.Study, points: list[dict[str, Any]], settings: SweepSettings) -> int:
    """Queue the points of the grid that have no trial yet; returns how many trials there are in all.

    Two workers that start together may queue a point twice: the second trial of a point ends before it has begun.
    """
    seeds: list[int | None] = [*settings.seeds] if settings.seeds else [None]
    wanted = [(point, seed) for point in points for seed in seeds][: settings.trials]
    there = {point_of(trial) for trial in counted(study.get_trials(deepcopy=False))}
    for point, seed in wanted:
        if _key(point, seed) not in there:
            study.enqueue_trial(point, user_attrs={} if seed is None else {"seed": seed})
    return len(wanted)


def point_of(trial: FrozenTrial) -> str:
    """What tells a point of the grid from all others."""
    return _key(trial.system_attrs.get("fixed_params", {}), trial.user_attrs.get("seed"))


def _key(point: Mapping[str, Any], seed: int | None) -> str:
    return json.dumps([sorted(point.items()), seed])


def _devices(base: Mapping[str, Any]) -> int:
    """How many devices the experiment asks for; 1 if it leaves that to the machine."""
    given = base["trainer"]["devices"]
    if given in ("auto", "-1", -1, None):
        return 1
    try:
        if isinstance(given, str) and not given.isdecimal():
            given = [int(part) for part in given.strip("[] ").split(",") if part.strip()]
        count = len(given) if isinstance(given, list) else int(given)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise UserError(f"trainer.devices: expected auto, a number or a list of devices, got {given!r}")
    return count


def _find(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study | None:
    """The study, if it is there and complete: a worker may have been killed while making it."""
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    return study if "sweep" in study.user_attrs else None


def _refuse_another(earlier: Mapping[str, Any], now: Mapping[str, Any], settings: SweepSettings) -> None:
    orders = [list(definition["objectives"]) for definition in (earlier, now)]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        raise UserError(
            f"study {settings.folder} was made with its objectives in the order {', '.join(orders[0])}, by which its "
            "trials are recorded; take that back, or give another --study"
        )
    # As JSON has them, which is how they were stored.
    before, after = dotted_keys(earlier), dotted_keys(json.loads(json.dumps(now)))
    differing = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if differing:
        key = differing[-1]
        raise UserError(
            f"study {settings.study} was made with another sweep: {key} was {before.get(key)!r} and is "
            f"{after.get(key)!r}; take it back, or give another --study"
        )
