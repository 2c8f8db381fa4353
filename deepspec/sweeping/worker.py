"""A worker: runs trials until the study has all it wants, on one node, several at once."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.sweeping.experiment import objective_values
from deepspec.sweeping.lost import LostTrials, counted, requeue, worker_lock
from deepspec.sweeping.study import point_of
from deepspec.sweeping.trial import Interrupted, TrialError, run_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optuna.trial import FrozenTrial

    from deepspec.runs.folder import Row
    from deepspec.sweeping.study import Sweep


PAUSE = 1.0
"""Seconds until a worker without work looks again."""


class Surplus(Exception):
    """Another worker took the last trial, or the same point of the grid, at the same moment."""


class Worker:
    """Runs trials in as many threads as there are environments.

    Args:
        sweep: what to do.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._study = sweep.study
        self._stop = threading.Event()
        self._choosing = threading.Lock()
        self._name = ""
        self._said = False
        self._lost = LostTrials(sweep.study, sweep.settings.folder / "workers", shared=sweep.settings.url is None)
        limit = sweep.settings.time_limit_hours
        self._deadline = None if limit is None else time.monotonic() + 3600 * limit

    def run(self, show: Callable[[], None], pause: float) -> bool:
        """Work until nothing is left, the time is over or a signal asks to stop.

        Args:
            show: called while the trials run, to show how they do.
            pause: seconds between two calls.

        Returns:
            Whether it was asked to stop.
        """
        places = self._sweep.environments
        locks = self._sweep.settings.folder / "workers"
        with worker_lock(locks) as own, self._signals(), ThreadPoolExecutor(len(places)) as pool:
            self._name = own.name
            futures = [pool.submit(self._work, environment) for environment in places]
            running = set(futures)
            try:
                while running:
                    own.touch()
                    show()
                    ended, running = wait(running, timeout=pause, return_when=FIRST_EXCEPTION)
                    if any(future.exception() for future in ended):
                        break
                show()
            finally:
                asked = self._stop.is_set()
                self._stop.set()  # the other threads end too, if one has failed or `show` has
        for future in futures:
            future.result()
        return asked

    def _work(self, environment: Mapping[str, str]) -> None:
        while self._turn(environment):
            pass

    def _turn(self, environment: Mapping[str, str]) -> bool:
        """Run one trial; False if there is none to run."""
        with ExitStack() as choosing:
            choosing.enter_context(self._choosing)
            self._lost.requeue()
            if self._stop.is_set() or self._is_late():
                return False
            trials = counted(self._study.get_trials(deepcopy=False))
            if not self._is_work_left(trials):
                waits = self._lost.unclear or (self._sweep.settings.wait and self._others_run(trials))
                choosing.close()
                return waits and not self._stop.wait(PAUSE)
            try:
                self._study.optimize(
                    lambda trial: self._objective(trial, environment, choosing.close),
                    n_trials=1,
                    catch=(TrialError, Interrupted, Surplus, UpdateFinishedTrialError),
                )
            except ValueError as error:
                # Optuna has no exception of its own for a trial that was taken for dead while it ran.
                if "Cannot tell a" not in str(error):
                    raise
        return True

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _others_run(self, trials: list[FrozenTrial]) -> bool:
        """Whether trials run that will be queued again if their worker dies or is stopped; says so once."""
        running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
        if running and not self._said and not any(self._is_own(trial) for trial in trials):
            self._said = True
            note(
                f"no trial is left to begin; waiting for {len(running)} of other workers, to take them over if those "
                "end early (--wait false leaves at once)"
            )
        return bool(running)

    def _is_own(self, trial: FrozenTrial) -> bool:
        return trial.state == TrialState.RUNNING and trial.user_attrs.get("worker") == self._name

    def _is_work_left(self, trials: list[FrozenTrial]) -> bool:
        if any(trial.state == TrialState.WAITING for trial in trials):
            return True
        return self._sweep.settings.sampler.kind != "grid" and len(trials) < self._sweep.total

    def _objective(
        self, trial: optuna.Trial, environment: Mapping[str, str], chosen: Callable[[], None]
    ) -> list[float]:
        trial.set_user_attr("worker", self._name)
        self._refuse_surplus(trial)
        sweep, settings = self._sweep, self._sweep.settings
        if settings.seeds and "seed" not in trial.user_attrs:
            trial.set_user_attr("seed", settings.seeds[trial.number % len(settings.seeds)])
        sweep.space.draw(trial)
        chosen()
        folder = settings.folder / "trials" / f"{trial.number:04d}"
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        config = sweep.config(frozen, folder)
        grouped = {"WANDB_RUN_GROUP": settings.name, "WANDB_JOB_TYPE": "trial", "WANDB_NAME": folder.name}
        limit = settings.trial_limit_hours
        try:
            rows = run_trial(
                config,
                folder,
                {**environment, **grouped},
                stop=self._stop,
                seconds=None if limit is None else 3600 * limit,
                on_rows=lambda rows: self._report(trial, rows),
            )
            return objective_values(rows, settings.objectives, settings.epoch, config["keep"])
        except Interrupted:
            requeue(self._study, frozen, died=False)
            trial.set_user_attr("error", "the worker was asked to stop")
            raise
        except (TrialError, UserError) as error:
            trial.set_user_attr("error", str(error))
            raise TrialError(str(error)) from None

    def _refuse_surplus(self, trial: optuna.Trial) -> None:
        """End a trial that two workers took at once: the one with the lower number stays."""
        trials = self._study.get_trials(deepcopy=False)
        own = trials[trial.number]
        if "retry_of" in own.user_attrs:
            return
        others = [other for other in counted(trials) if other.number < trial.number]
        if self._sweep.settings.sampler.kind == "grid":
            surplus = "fixed_params" not in own.system_attrs or point_of(own) in map(point_of, others)
        else:
            surplus = len(others) >= self._sweep.total
        if surplus:
            trial.set_user_attr("surplus", True)
            raise Surplus

    def _report(self, trial: optuna.Trial, rows: list[Row]) -> None:
        """Tell the study how the trial does, and prune it if that is not good enough."""
        trial.set_user_attr("epoch", int(rows[-1]["epoch"]) + 1)
        if len(self._sweep.settings.objectives) > 1:
            return  # Optuna keeps intermediate values of one objective only
        (name,) = self._sweep.settings.objectives
        reported = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for row in rows:
            epoch = int(row["epoch"])
            if name in row and epoch not in reported:
                trial.report(row[name], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM, as clusters send before they take a node away, and Ctrl-C end the trials and queue them again."""

        def ask(signum: int, _: Any) -> None:
            self._stop.set()

        before = {signum: signal.signal(signum, ask) for signum in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
