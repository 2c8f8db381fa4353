"""Loss weights that change with the epoch: beta(i) and gamma(i) of Bombini et al. (2024), equation 6.

Pure functions of plain numbers, and `Schedule`, which a YAML file can describe. Epochs count from 0 and may be
fractions, for a weight that moves within an epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from deepspec.errors import UserError

Kind = Literal["constant", "step", "linear", "cosine", "sigmoid", "cyclic"]

# Settings that a kind uses beside `value`; another one that is set is a mistake, not to be passed over in silence.
SETTINGS: dict[Kind, set[str]] = {
    "constant": set(),
    "step": {"start", "initial"},
    "linear": {"start", "end", "initial"},
    "cosine": {"start", "end", "initial"},
    "sigmoid": {"start", "end", "initial", "steepness"},
    "cyclic": {"start", "initial", "period", "ramp"},
}


@dataclass(frozen=True)
class Schedule:
    """A weight as a function of the epoch.

    >>> beta = Schedule("step", 0.01, start=30)
    >>> beta(29), beta(30)
    (0.0, 0.01)
    >>> Schedule("linear", 1.0, start=10, end=20)(15)
    0.5
    """

    kind: Kind
    """constant; step (at `start`); linear, cosine, sigmoid (from `start` to `end`); cyclic (every `period`)."""

    value: float
    """The weight when the schedule has done its work; for `cyclic`, the weight at the top of each cycle."""

    start: int = 0
    """Epoch up to which the weight is `initial`."""

    end: int | None = None
    """Epoch from which the weight is `value`: for linear, cosine and sigmoid, which need it."""

    initial: float = 0.0
    """The weight before `start`, and at the bottom of each cycle."""

    period: int | None = None
    """Epochs of one cycle, at least 2: for `cyclic`, which needs it."""

    ramp: float = 0.5
    """Part of a cycle in which the weight rises, above 0 and up to 1; for the rest it stays at `value`."""

    steepness: float = 10.0
    """How sudden `sigmoid` is: the range of the logistic function's argument between `start` and `end`."""

    def __post_init__(self) -> None:
        """Check the settings against each other and say which to change."""
        if self.kind not in SETTINGS:
            raise UserError(f"schedule kind must be one of {', '.join(get_args(Kind))}; got {self.kind!r}")
        used = SETTINGS[self.kind]
        for field in fields(self)[2:]:
            if field.name not in used and getattr(self, field.name) != field.default:
                raise UserError(
                    f"a {self.kind} schedule has no {field.name!r}; leave it out"
                    + (f" (it has {', '.join(sorted(used))})" if used else "")
                )
        for name, weight in (("value", self.value), ("initial", self.initial)):
            if not 0 <= weight < math.inf:
                raise UserError(f"schedule {name} must be a finite weight of at least 0; got {weight}")
        if self.start < 0:
            raise UserError(f"schedule start must be at least 0; got {self.start}")
        if "end" in used and (self.end is None or self.end <= self.start):
            raise UserError(f"a {self.kind} schedule needs an end after start={self.start}; got end={self.end}")
        if "period" in used and (self.period is None or self.period < 2):
            raise UserError(f"a cyclic schedule needs a period of at least 2 epochs; got {self.period}")
        if not 0 < self.ramp <= 1:
            raise UserError(f"schedule ramp must be above 0 and at most 1; got {self.ramp}")
        if not 0 < self.steepness < math.inf:
            raise UserError(f"schedule steepness must be above 0; got {self.steepness}")

    def __call__(self, epoch: float) -> float:
        """The weight at `epoch`.

        Raises:
            ValueError: `epoch` is negative.
        """
        if epoch < 0:
            raise ValueError(f"epochs count from 0; got {epoch}")
        if self.kind == "constant":
            return self.value
        if self.kind == "step":
            return step(epoch, self.initial, self.value, self.start)
        if self.kind == "cyclic":
            assert self.period is not None  # by __post_init__
            return cyclic(epoch, self.initial, self.value, self.start, self.period, self.ramp)
        assert self.end is not None  # by __post_init__
        if self.kind == "linear":
            return linear(epoch, self.initial, self.value, self.start, self.end)
        if self.kind == "cosine":
            return cosine(epoch, self.initial, self.value, self.start, self.end)
        return sigmoid(epoch, self.initial, self.value, self.start, self.end, self.steepness)

    @property
    def final(self) -> float:
        """The weight when the schedule has done its work; for `cyclic`, that at the top of each cycle."""
        return self.value

    @property
    def settled_at(self) -> int | None:
        """First epoch from which the weight no longer moves; None for `cyclic`, which never rests.

        >>> Schedule("cosine", 0.1, start=5, end=25).settled_at
        25
        """
        if self.kind == "cyclic":
            return None
        if self.kind == "constant" or self.initial == self.value:
            return 0
        return self.start if self.end is None else self.end


def step(epoch: float, initial: float, value: float, start: float) -> float:
    """`initial` before `start`, `value` from `start` on.

    >>> step(29, 0.0, 0.01, start=30), step(30, 0.0, 0.01, start=30)
    (0.0, 0.01)
    """
    return value if epoch >= start else initial


def linear(epoch: float, initial: float, value: float, start: float, end: float) -> float:
    """A straight line from `initial` at `start` to `value` at `end`, level outside.

    >>> [linear(epoch, 0.0, 1.0, start=2, end=6) for epoch in (0, 3, 4, 9)]
    [0.0, 0.25, 0.5, 1.0]
    """
    return _between(initial, value, _progress(epoch, start, end))


def cosine(epoch: float, initial: float, value: float, start: float, end: float) -> float:
    """Half a cosine wave from `initial` at `start` to `value` at `end`, without a kink at either.

    >>> [round(cosine(epoch, 0.0, 1.0, start=0, end=4), 4) for epoch in (0, 1, 2, 4)]
    [0.0, 0.1464, 0.5, 1.0]
    """
    return _between(initial, value, (1 - math.cos(math.pi * _progress(epoch, start, end))) / 2)


def sigmoid(epoch: float, initial: float, value: float, start: float, end: float, steepness: float = 10.0) -> float:
    """A logistic rise, stretched so that it is exactly `initial` at `start` and `value` at `end`.

    >>> [round(sigmoid(epoch, 0.0, 1.0, start=0, end=4), 4) for epoch in (0, 1, 2, 4)]
    [0.0, 0.0701, 0.5, 1.0]
    """
    half = math.tanh(steepness / 4)  # the logistic function is (1 + tanh(x / 2)) / 2
    rise = math.tanh(steepness / 2 * (_progress(epoch, start, end) - 0.5)) / half
    return _between(initial, value, (1 + rise) / 2)


def cyclic(epoch: float, initial: float, value: float, start: float, period: float, ramp: float = 0.5) -> float:
    """Cyclical annealing: from `start`, each period rises in a line over its first part `ramp` and then stays level.

    Fu et al. (2019), Cyclical Annealing Schedule, arXiv 1903.10145, equations 6 and 7, with R = `ramp`.

    >>> [cyclic(epoch, 0.0, 1.0, start=0, period=8) for epoch in (0, 2, 4, 7, 8)]
    [0.0, 0.5, 1.0, 1.0, 0.0]

    Raises:
        ValueError: `period` or `ramp` is not above 0.
    """
    if period <= 0 or ramp <= 0:
        raise ValueError(f"a cycle needs a period and a ramp above 0; got period={period}, ramp={ramp}")
    if epoch < start:
        return initial
    return _between(initial, value, min(1.0, (epoch - start) % period / (ramp * period)))


def _progress(epoch: float, start: float, end: float) -> float:
    if end <= start:
        raise ValueError(f"a ramp must end after it starts; got start={start}, end={end}")
    return min(max((epoch - start) / (end - start), 0.0), 1.0)


def _between(initial: float, value: float, part: float) -> float:
    # Exact at both ends, which initial + part * (value - initial) is not.
    return (1 - part) * initial + part * value
