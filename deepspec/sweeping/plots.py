"""Pictures of a study: importance of each parameter, every parameter against the objective, all of them at once."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection

from deepspec.drawing import IMAGE_COLOURS, new_figure
from deepspec.sweeping.best import finished
from deepspec.texts import short_names, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.trial import FrozenTrial

    from deepspec.sweeping.study import Sweep

BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
"""Of the texts among the lines of the parallel plot."""


def importances(study: optuna.Study, objective: int) -> dict[str, float]:
    """Share of each parameter in what the objective does over the finished trials, by PED-ANOVA.

    Empty if there are too few trials to tell.
    """
    if len(finished(study)) < 4:
        return {}
    sign = -1.0 if study.directions[objective] == StudyDirection.MAXIMIZE else 1.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that few trials give rough numbers, which the page says
            # PED-ANOVA asks what makes the target low.
            return optuna.importance.get_param_importances(study, target=lambda trial: sign * trial.values[objective])
    except (RuntimeError, ValueError):  # what Optuna raises if no parameter varies
        return {}


def importance_figure(sweep: Sweep, objective: int) -> Figure | None:
    """Bars of `importances`; None if there are none."""
    found = importances(sweep.study, objective)
    if not found:
        return None
    names = sorted(found, key=lambda name: found[name])
    figure = new_figure(6.5, 0.6 + 0.28 * len(names))
    axes = figure.add_subplot()
    axes.barh(names, [found[name] for name in names], color="#0072b2")
    axes.set_xlabel("importance (PED-ANOVA, sums to 1)")
    return figure


def history_figure(sweep: Sweep, objective: int) -> Figure:
    """The objective of each trial in the order of the trials, and the best up to there."""
    trials = finished(sweep.study)
    values = [trial.values[objective] for trial in trials]
    figure = new_figure(6.5, 2.6)
    axes = figure.add_subplot()
    axes.plot([trial.number for trial in trials], values, "o", ms=4, color="#0072b2", label="trial")
    best = np.maximum.accumulate if _maximizes(sweep, objective) else np.minimum.accumulate
    axes.step([trial.number for trial in trials], best(values), where="post", color="#d55e00", label="best so far")
    axes.set(xlabel="trial", ylabel=list(sweep.settings.objectives)[objective])
    axes.legend()
    return figure


def slice_figure(sweep: Sweep, objective: int) -> Figure:
    """A panel for each parameter: its value against the objective, later trials darker."""
    trials = finished(sweep.study)
    names = [name for name in sweep.space.distributions if any(name in trial.params for trial in trials)]
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(2.9 * columns + 0.6, 2.4 * rows)
    short = short_names(names)
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        drawn = [trial for trial in trials if name in trial.params]
        positions = [_position(sweep, name, trial.params[name]) for trial in drawn]
        shades = [trial.number for trial in drawn]
        axes.scatter(
            positions, [t.values[objective] for t in drawn], c=shades, cmap="Blues", s=18, edgecolors="#555555", lw=0.4
        )
        axes.set_title(short[name])
        _mark_values(sweep, name, axes)
        if index % columns == 0:
            axes.set_ylabel(list(sweep.settings.objectives)[objective])
    return figure


def parallel_figure(sweep: Sweep, objective: int) -> Figure:
    """A line for each trial over one axis per parameter; the colour is the objective, the best on top."""
    trials = finished(sweep.study)
    names = [name for name in sweep.space.distributions if any(name in trial.params for trial in trials)]
    values = np.array([trial.values[objective] for trial in trials])
    figure = new_figure(max(6.5, 1.3 * (len(names) + 1)), 3.6)
    axes = figure.add_subplot()
    scale = Normalize(values.min(), values.max() if np.ptp(values) > 0 else values.min() + 1)
    colours = colormaps[IMAGE_COLOURS + ("" if _maximizes(sweep, objective) else "_r")]
    spans = {name: _span(sweep, name, trials) for name in names}
    for index in np.argsort(values if _maximizes(sweep, objective) else -values):
        heights = [_height(sweep, name, trials[index], spans[name]) for name in names]
        heights.append(float(scale(values[index])))
        axes.plot(range(len(heights)), heights, color=colours(scale(values[index])), lw=1.2, alpha=0.85, marker=".")
    labels = short_names(names)
    axes.set_xticks(
        range(len(names) + 1), [*(labels[name] for name in names), list(sweep.settings.objectives)[objective]]
    )
    axes.tick_params(axis="x", labelrotation=20)
    axes.set_yticks([])
    for index, name in enumerate(names):
        axes.axvline(index, color="#999999", lw=0.6)
        for text, height in _ends(sweep, name, spans[name]):
            axes.text(index + 0.03, height, text, fontsize=6, va="center", bbox=BEHIND)
    for height, value in ((0.0, values.min()), (1.0, values.max())):
        axes.text(len(names) + 0.03, height, value_text(float(value)), fontsize=6, va="center", bbox=BEHIND)
    axes.set_xlim(-0.1, len(names) + 0.5)
    axes.set_ylim(-0.05, 1.05)
    return figure


def front_figure(sweep: Sweep) -> Figure | None:
    """The first two objectives against each other, the Pareto front marked; None if there is only one."""
    if len(sweep.settings.objectives) < 2:
        return None
    trials, front = finished(sweep.study), sweep.study.best_trials
    figure = new_figure(5, 3.6)
    axes = figure.add_subplot()
    axes.plot([t.values[0] for t in trials], [t.values[1] for t in trials], "o", ms=4, color="#999999", label="trial")
    front = sorted(front, key=lambda trial: trial.values[0])
    axes.plot(
        [t.values[0] for t in front], [t.values[1] for t in front], "o-", ms=5, color="#d55e00", label="Pareto front"
    )
    for trial in front:
        axes.annotate(str(trial.number), trial.values[:2], xytext=(4, 4), textcoords="offset points", fontsize=7)
    first, second, *_ = sweep.settings.objectives
    axes.set(xlabel=first, ylabel=second)
    axes.legend()
    return figure


def _maximizes(sweep: Sweep, objective: int) -> bool:
    return list(sweep.settings.objectives.values())[objective] == "maximize"


def _position(sweep: Sweep, name: str, value: Any) -> float:
    """Where a value stands on its parameter's axis: itself, its logarithm, or the number of the choice."""
    distribution = sweep.space.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    return math.log10(value) if distribution.log else float(value)


def _span(sweep: Sweep, name: str, trials: list[FrozenTrial]) -> tuple[float, float]:
    positions = [_position(sweep, name, trial.params[name]) for trial in trials if name in trial.params]
    return min(positions), max(positions)


def _height(sweep: Sweep, name: str, trial: FrozenTrial, span: tuple[float, float]) -> float:
    if name not in trial.params:
        return math.nan  # a gap in the line: the parameter did not apply
    return (_position(sweep, name, trial.params[name]) - span[0]) / ((span[1] - span[0]) or 1)


def _ends(sweep: Sweep, name: str, span: tuple[float, float]) -> list[tuple[str, float]]:
    """Texts along an axis of the parallel plot, and their heights."""
    distribution = sweep.space.distributions[name]
    width = (span[1] - span[0]) or 1
    if isinstance(distribution, CategoricalDistribution):
        return [
            (str(c)[:18], (i - span[0]) / width) for i, c in enumerate(distribution.choices) if span[0] <= i <= span[1]
        ]
    return [(value_text(10**end if distribution.log else end), (end - span[0]) / width) for end in sorted(set(span))]


def _mark_values(sweep: Sweep, name: str, axes: Axes) -> None:
    distribution = sweep.space.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        texts = [str(choice) if len(str(choice)) < 14 else f"{str(choice)[:12]}…" for choice in distribution.choices]
        axes.set_xticks(range(len(texts)), texts, rotation=20 if len(texts) > 3 else 0, fontsize=7)
    elif distribution.log:
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(lambda position, _: value_text(float(f"{10**position:.2g}")))
    elif isinstance(distribution, IntDistribution):
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
