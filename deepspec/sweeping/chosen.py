"""Optuna's samplers and pruners by the sweep's settings."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, TrialState

    from deepspec.sweeping.settings import PrunerSettings, SamplerSettings


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
