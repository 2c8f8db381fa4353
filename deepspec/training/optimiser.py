"""The optimiser of a run and how its learning rate moves: ours, or classes of torch and of other packages."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from deepspec.errors import UserError
from deepspec.extensions import class_named

if TYPE_CHECKING:
    from collections.abc import Iterable

ADAM_EPS = 1e-8
"""What ADAM adds to the size of a gradient, as in its paper."""

RateSchedule = Literal["plateau", "cosine"]
Interval = Literal["epoch", "step"]


@dataclass(frozen=True)
class OptimizerConfig:
    """ADAM, and a learning rate that falls when the target stops falling, or along a cosine."""

    lr: float = 1e-3
    """Learning rate at the start."""
    weight_decay: float = 0.0
    """L2 penalty on the weights."""
    schedule: RateSchedule = "plateau"
    """How the learning rate falls: `plateau`, when the target stops falling; `cosine`, step by step to 0 at the end of
    the run (`trainer.max_epochs` or `trainer.max_steps`, whichever comes first). The next three are for plateau."""
    factor: float = 0.1
    """What the learning rate is multiplied by on a plateau."""
    patience: int = 5
    """Epochs without a lower target before that."""
    min_lr: float = 1e-6
    """The learning rate never falls below this."""
    class_path: str | None = None
    """Another optimiser in place of ADAM by its full name, such as torch.optim.AdamW; it is built with the parameters,
    lr, weight_decay if that is above 0, and init_args."""
    init_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of that class."""

    def __post_init__(self) -> None:
        """Check the choice."""
        for name, least in (("lr", 0.0), ("weight_decay", 0.0), ("min_lr", 0.0), ("patience", 0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least) or (name == "lr" and value == 0):
                raise UserError(f"optimizer.{name} must be {'above' if name == 'lr' else 'at least'} 0, got {value:g}")
        if not 0 < self.factor < 1:
            raise UserError(f"optimizer.factor must be between 0 and 1, got {self.factor:g}")
        if self.schedule not in get_args(RateSchedule):
            raise UserError(
                f"optimizer.schedule must be one of {', '.join(get_args(RateSchedule))}; got {self.schedule!r}"
            )
        if self.class_path is None and self.init_args:
            raise UserError("optimizer.init_args is of a class: give optimizer.class_path, or leave it out")
        for name in ("lr", "weight_decay", "params"):
            if name in self.init_args:
                raise UserError(f"optimizer.init_args.{name}: leave it out; lr and weight_decay are keys of optimizer")

    def plain(self) -> dict[str, Any]:
        """As plain values for a checkpoint; without a class where there is none, as earlier versions know it."""
        values = asdict(self)
        if self.class_path is None:
            del values["class_path"], values["init_args"]
        return values


OptimiserConfig = OptimizerConfig
"""Its name in earlier versions."""


@dataclass(frozen=True)
class SchedulerConfig:
    """A schedule of the learning rate in place of `optimizer.schedule`."""

    class_path: str | None = None
    """Its full name, such as torch.optim.lr_scheduler.StepLR; it is built with the optimiser and init_args. None: the
    learning rate follows `optimizer.schedule`."""
    init_args: dict[str, Any] = field(default_factory=dict)
    """Arguments of that class."""
    interval: Interval = "epoch"
    """When it moves: after every `epoch` or every `step` of the optimiser. One that watches a metric, as
    ReduceLROnPlateau, is given the target after every epoch."""

    def __post_init__(self) -> None:
        """Check the choice."""
        if self.interval not in get_args(Interval):
            raise UserError(f"scheduler.interval must be one of epoch, step; got {self.interval!r}")
        if self.class_path is None and (self.init_args or self.interval != "epoch"):
            raise UserError("scheduler.init_args and interval are of a class: give scheduler.class_path")
        if "optimizer" in self.init_args:
            raise UserError("scheduler.init_args.optimizer: leave it out, it is the run's")


def build_optimiser(
    parameters: Iterable[torch.nn.Parameter], config: OptimizerConfig, members: int
) -> torch.optim.Optimizer:
    """The optimiser of `config`.

    Args:
        parameters: of the model.
        config: class and rates.
        members: networks that are trained side by side. The loss of an ensemble is the mean of its members', whose
            gradients are then so many times smaller. ADAM does not notice if what it adds to gradients and their sizes
            is smaller too: each trains as it would alone.

    Raises:
        UserError: the class cannot be imported, is no optimiser, cannot be built so, or would train an ensemble.
    """
    share = 1 / members
    if config.class_path is None:
        decay = config.weight_decay * share
        return torch.optim.Adam(parameters, lr=config.lr, eps=ADAM_EPS * share, weight_decay=decay)
    key = "model.optimizer.class_path"
    if members > 1:
        raise UserError(
            f"{key}: the {members} networks of an ensemble are trained by ADAM, which does not mind that their loss "
            "is a mean: leave the class out, or set model.network.ensemble 1"
        )
    kind = class_named(config.class_path, torch.optim.Optimizer, key)
    given = {"lr": config.lr, **({"weight_decay": config.weight_decay} if config.weight_decay else {})}
    try:
        optimiser: torch.optim.Optimizer = kind(parameters, **given, **config.init_args)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{key}: {config.class_path} cannot be built from {_names(given, config.init_args)}: {error}"
        ) from error
    return optimiser


def cosine_rate(lr: float, step: int, steps: int) -> float:
    """Learning rate of a step, counted from 0, in a run of so many: lr / 2 (1 + cos(pi step / steps)).

    The cosine annealing of Loshchilov and Hutter (2017), SGDR, equation 5, without restarts and to 0.

    >>> cosine_rate(0.01, 0, 100), cosine_rate(0.01, 50, 100)
    (0.01, 0.005)
    """
    return lr / 2 * (1 + math.cos(math.pi * min(step, steps) / steps))


class LearningRate:
    """Moves the learning rate of an optimiser.

    In Lightning's place, which steps a schedule after the checkpoint of the epoch was written: a run resumed from there
    would have missed one step and ended elsewhere.

    Args:
        optimiser: whose rate moves.
        config: with `schedule` and what it needs.
        scheduler: a class in its place.
        steps: of the run, which a cosine has to know; None if it has no end.

    Raises:
        UserError: a cosine is wanted for a run without an end, both kinds of schedule are given, or the class cannot be
            imported or built.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, config: OptimizerConfig, scheduler: SchedulerConfig, steps: int | None
    ) -> None:
        self._optimiser, self._config, self._interval = optimiser, config, scheduler.interval
        self._scheduler: LRScheduler | ReduceLROnPlateau | None = None
        self._steps = 0
        if scheduler.class_path is not None:
            if config.schedule != "plateau":
                raise UserError(
                    f"model.scheduler: expected one schedule, got {scheduler.class_path} and optimizer.schedule "
                    f"{config.schedule}: leave one out"
                )
            self._scheduler = _built(optimiser, scheduler)
        elif config.schedule == "cosine":
            if steps is None:
                raise UserError(
                    "optimizer.schedule cosine needs the length of the run: give trainer.max_epochs or max_steps"
                )
            self._steps = steps
        else:
            self._scheduler = ReduceLROnPlateau(
                optimiser, factor=config.factor, patience=config.patience, min_lr=config.min_lr
            )
        self.entry = "plateau" if scheduler.class_path is None else "scheduler"
        """Where a checkpoint keeps the state."""

    @property
    def is_cosine(self) -> bool:
        """Whether `before_step` sets the rate of every step."""
        return self._scheduler is None

    @property
    def moves_by_steps(self) -> bool:
        """Whether `after_step` is wanted after every step."""
        return self._interval == "step" and self._scheduler is not None and not self._watches()

    def before_step(self, step: int) -> None:
        """Set the rate of a cosine, which has no state: it follows from the number of the step."""
        for group in self._optimiser.param_groups:
            group["lr"] = cosine_rate(self._config.lr, step, self._steps)

    def after_step(self) -> None:
        """Move a schedule by steps."""
        assert self._scheduler is not None
        self._scheduler.step()

    def after_epoch(self, target: float | None) -> None:
        """Move a schedule by epochs.

        Args:
            target: of the epoch; None if it has none, infinite until a deep baseline begins.
        """
        if self._scheduler is None:
            return
        if self._watches():
            if target is not None and target != math.inf:
                self._scheduler.step(target)  # type: ignore[arg-type]
        elif self._interval == "epoch":
            self._scheduler.step()

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint; empty where nothing needs to be kept."""
        if self._scheduler is None:
            return {}
        return {name: value for name, value in self._scheduler.state_dict().items() if _is_plain(value)}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        if self._scheduler is not None and state:
            self._scheduler.load_state_dict(state)

    def _watches(self) -> bool:
        return isinstance(self._scheduler, ReduceLROnPlateau)


def _built(optimiser: torch.optim.Optimizer, config: SchedulerConfig) -> LRScheduler | ReduceLROnPlateau:
    key = "model.scheduler.class_path"
    assert config.class_path is not None
    kind = class_named(config.class_path, LRScheduler, key)
    try:
        scheduler: LRScheduler = kind(optimiser, **config.init_args)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{key}: {config.class_path} cannot be built from {_names(config.init_args)}: {error}"
        ) from error
    return scheduler


def _names(*arguments: dict[str, Any]) -> str:
    return ", ".join(name for part in arguments for name in part) or "no arguments"


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    return value is None or isinstance(value, (bool, int, float, str))
