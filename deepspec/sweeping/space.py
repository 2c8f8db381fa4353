"""The search space of a sweep: all its parameters, which of them apply, and the grid of all their values."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution

from deepspec.errors import UserError
from deepspec.sweeping.parameter import label, parse_parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import optuna

    from deepspec.sweeping.parameter import Distribution, Parameter

    Suggest = Callable[[str, Distribution], Any]


class Space:
    """A search space.

    Args:
        search: the sweep file's `search:`, by name; a parameter stands below those that its `when` names.

    Raises:
        UserError: it is empty, an entry is impossible, or two entries set the same key.
    """

    def __init__(self, search: Mapping[str, Any]) -> None:
        if not search:
            raise UserError("search: expected at least one parameter")
        self.parameters = [parse_parameter(name, entry) for name, entry in search.items()]
        self.distributions = {
            name: distribution
            for parameter in self.parameters
            for name, distribution in parameter.distributions.items()
        }
        setters = [(key, parameter.name) for parameter in self.parameters for key in parameter.keys]
        for (key, name), (other_key, other) in itertools.combinations(setters, 2):
            if name != other and (f"{key}.".startswith(f"{other_key}.") or f"{other_key}.".startswith(f"{key}.")):
                raise UserError(
                    f"search: {name} and {other} both set {key if len(key) > len(other_key) else other_key}"
                )

    def check(self, keys: Mapping[str, Any]) -> None:
        """Refuse what the experiment does not know and what can never be drawn.

        Args:
            keys: every key of the resolved experiment, dotted, with its value; those of inner mappings as well.

        Raises:
            UserError: a key does not exist (the nearest is named), or a condition can never hold.
        """
        above: dict[str, Distribution] = {}
        for parameter in self.parameters:
            for key in parameter.keys:
                if key not in keys:
                    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
                    hint = f" (did you mean {near[0]!r}?)" if near else ""
                    raise UserError(f"search, {parameter.name}: {key!r} is no key of the experiment{hint}")
            for name, values in parameter.when.items():
                self._check_condition(parameter.name, name, values, above, keys)
            above |= parameter.distributions

    def _check_condition(
        self, owner: str, name: str, values: list[Any], above: Mapping[str, Distribution], keys: Mapping[str, Any]
    ) -> None:
        place = f"search, {owner}: when: {name}"
        setter = next((other.name for other in self.parameters if name in other.keys), name)
        if setter not in self.distributions and setter in (other.name for other in self.parameters):
            raise UserError(f"{place}: is a list of widths; name {setter}.depth, or a key that it does not set")
        if setter != name:
            raise UserError(f"{place}: is set by {setter}: name that and its choices instead")
        if name in self.distributions:
            if name not in above:
                raise UserError(f"{place}: must stand above {owner} in `search`")
            possible = self.distributions[name]
            if not isinstance(possible, CategoricalDistribution) and (possible.log or possible.step is None):
                raise UserError(f"{place}: is not a stepwise number; give it a step or make it categorical")
            impossible = [value for value in values if not _possible(possible, label(value))]
            if impossible:
                raise UserError(f"{place}: can never be {impossible[0]!r}")
        elif name not in keys:
            near = difflib.get_close_matches(name, [*above, *keys], n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UserError(f"{place}: is neither searched nor a key of the experiment{hint}")
        elif keys[name] not in values:
            raise UserError(
                f"{place}: can never be one of {values}: the experiment has {keys[name]!r}, and no search sets it"
            )

    def overrides(self, suggest: Suggest) -> dict[str, Any]:
        """Draw a value for every parameter that applies, in order.

        Args:
            suggest: gives a value for a name and a distribution.

        Returns:
            The keys of the experiment and the values that they get.
        """
        drawn: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for parameter in self.parameters:
            if self._applies(parameter, drawn):
                drawn |= {name: suggest(name, how) for name, how in parameter.distributions.items()}
                found |= parameter.overrides(drawn)
        return found

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Let an Optuna trial draw; see `overrides`."""
        return self.overrides(lambda name, distribution: _suggest(trial, name, distribution))

    def overrides_of(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What an earlier trial set, from the values that Optuna stored for it."""
        return self.overrides(lambda name, _: drawn[name])

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of values, as Optuna stores them; a parameter that does not apply is absent.

        Raises:
            UserError: a parameter has no finite list of values.
        """
        points: list[dict[str, Any]] = [{}]
        for parameter in self.parameters:
            values = [_grid_values(name, how) for name, how in parameter.distributions.items()]
            combinations = [dict(zip(parameter.distributions, row, strict=True)) for row in itertools.product(*values)]
            points = [
                point | combination
                for point in points
                for combination in (combinations if self._applies(parameter, point) else [{}])
            ]
        return points

    def _applies(self, parameter: Parameter, drawn: Mapping[str, Any]) -> bool:
        # What the experiment fixes was checked once; what is searched but was not drawn does not hold.
        return all(
            name not in self.distributions or (name in drawn and drawn[name] in [label(value) for value in values])
            for name, values in parameter.when.items()
        )


def _possible(distribution: Distribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, int | float) and value in _grid_values("", distribution)


def _grid_values(name: str, distribution: Distribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if distribution.log or distribution.step is None:
        raise UserError(f"search, {name}: a grid needs a `step`, or the values listed as choices of a categorical")
    if isinstance(distribution, FloatDistribution):
        steps = round((distribution.high - distribution.low) / distribution.step)
        # Twelve decimals: 0.1 + 2 * 0.1 is 0.30000000000000004, which would go into every file and table.
        return [round(float(value), 12) for value in distribution.low + distribution.step * np.arange(steps + 1)]
    return list(range(distribution.low, distribution.high + 1, distribution.step))


def _suggest(trial: optuna.Trial, name: str, distribution: Distribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    low, high, log = distribution.low, distribution.high, distribution.log
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, low, high, step=distribution.step, log=log)
    return trial.suggest_int(name, int(low), int(high), step=distribution.step, log=log)
