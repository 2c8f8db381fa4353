"""The search space of a sweep: what Optuna draws, which keys of the experiment it sets, and the grid of all values."""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from deepspec.errors import UserError, did_you_mean
from deepspec.renamed import new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
    import optuna

    Suggest = Callable[[str, Distribution], Any]


FIELDS = {
    "int": {"low", "high", "step", "log"},
    "float": {"low", "high", "step", "log"},
    "categorical": {"choices"},
    "widths": {"depth", "first", "shrink", "mirror"},
}


@dataclass(frozen=True)
class Parameter:
    """What is drawn and what it sets.

    Attributes:
        name: the key of the experiment that it sets, in the words of the sweep file, by which a study knows it; or any
            name if its choices say which keys they set.
        distributions: by the name under which Optuna knows it; several for a list of widths.
        keys: of the experiment that it may set.
        when: it is drawn only if each of these has one of the listed values (drawn, or of the experiment).
        options: of a categorical one, what each choice sets.
        mirror: of a list of widths, the key that gets the same list reversed.
    """

    name: str
    distributions: dict[str, Distribution]
    keys: tuple[str, ...]
    when: dict[str, list[Any]] = field(default_factory=dict)
    options: dict[Any, dict[str, Any]] | None = None
    mirror: str | None = None

    def overrides(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of the experiment and the values that they get, from the values of `distributions`."""
        if self.options is not None:
            return {new_key(key): value for key, value in self.options[drawn[self.name]].items()}
        if len(self.distributions) == 1:
            return {new_key(self.name): drawn[self.name]}
        depth, first, shrink = (drawn[name] for name in self.distributions)
        widths = [max(1, round(first / shrink**layer)) for layer in range(depth)]
        return {self.name: widths} | ({self.mirror: widths[::-1]} if self.mirror else {})

    def extremes(self) -> list[dict[str, Any]]:
        """What it sets at every choice, or at both ends of its range."""
        if self.options is not None:
            return [self.overrides({self.name: choice}) for choice in self.options]
        numbers = {k: how for k, how in self.distributions.items() if not isinstance(how, CategoricalDistribution)}
        lowest, highest = {k: how.low for k, how in numbers.items()}, {k: how.high for k, how in numbers.items()}
        return [self.overrides(lowest), self.overrides(highest)]


def parse_parameter(name: str, entry: Any) -> Parameter:
    """Read one entry of `search:`.

    Args:
        name: its key in the sweep file.
        entry: a mapping with `type`, the fields of that type and perhaps `when`.

    Raises:
        UserError: a field is unknown, missing or impossible; names the entry.
    """
    place = f"search, {name}"
    if not isinstance(entry, dict) or entry.get("type") not in FIELDS:
        known = ", ".join(FIELDS)
        raise UserError(f"{place}: expected a mapping with `type`, one of {known}; got {entry!r}")
    kind = entry["type"]
    unknown_key(place, entry, {"type", "when", *FIELDS[kind]})
    when = entry.get("when", {})
    if not isinstance(when, dict):
        raise UserError(f"{place}: expected `when: {{NAME: VALUE or [VALUES]}}`, got {when!r}")
    conditions = {key: value if isinstance(value, list) else [value] for key, value in when.items()}
    if kind == "categorical":
        return _categorical(name, place, entry.get("choices"), conditions)
    if kind == "widths":
        return _widths(name, place, entry, conditions)
    return Parameter(name, {name: _number(place, entry)}, (new_key(name),), conditions)


def label(value: Any) -> Any:
    """What Optuna stores for a value: itself if it is a plain one, else its JSON text.

    >>> label([512, 256]), label("snn"), label(None)
    ('[512, 256]', 'snn', None)
    """
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def unknown_key(place: str, given: Iterable[str], known: set[str]) -> None:
    """Refuse a key that is not known, and name the nearest that is.

    Raises:
        UserError: there is one.
    """
    for key in given:
        if key not in known:
            raise UserError(f"{place}: unknown key {key!r}{did_you_mean(str(key), sorted(known), otherwise='list')}")


def _number(place: str, entry: Mapping[str, Any]) -> IntDistribution | FloatDistribution:
    integer = entry["type"] == "int"
    low: Any = entry.get("low")
    high: Any = entry.get("high")
    step, log = entry.get("step"), entry.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{place}: log: expected true or false, got {log!r}")
    for field_name, value in (("low", low), ("high", high), ("step", step)):
        if value is None and field_name == "step":
            continue
        if isinstance(value, bool) or not isinstance(value, int if integer else int | float):
            hint = " (YAML reads 1e-3 as a word: write 1.0e-3)" if isinstance(value, str) else ""
            what = "a whole number" if integer else "a number"
            raise UserError(f"{place}: {field_name}: expected {what}, got {value!r}{hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Optuna would move `high` to where the last step ends
            if integer:
                return IntDistribution(low, high, log=log, step=1 if step is None else step)
            return FloatDistribution(low, high, log=log, step=step)
    except (ValueError, UserWarning) as error:
        raise UserError(f"{place}: {error}") from None


def _categorical(name: str, place: str, choices: Any, when: dict[str, list[Any]]) -> Parameter:
    if not choices or not isinstance(choices, list | dict):
        raise UserError(
            f"{place}: choices: expected a list of values, or a mapping of names to the keys that each sets; "
            f"got {choices!r}"
        )
    if isinstance(choices, list):
        options = {label(choice): {name: choice} for choice in choices}
        keys: tuple[str, ...] = (new_key(name),)
    else:
        wrong = next((choice for choice, sets in choices.items() if not isinstance(sets, dict)), None)
        if wrong is not None:
            raise UserError(f"{place}: choices, {wrong}: expected a mapping of keys to values, got {choices[wrong]!r}")
        options = {label(choice): dict(sets) for choice, sets in choices.items()}
        keys = tuple(dict.fromkeys(new_key(key) for sets in options.values() for key in sets))
    if len(options) < len(choices):
        raise UserError(f"{place}: choices: two of them are equal")
    return Parameter(name, {name: CategoricalDistribution(tuple(options))}, keys, when, options)


def _widths(name: str, place: str, entry: Mapping[str, Any], when: dict[str, list[Any]]) -> Parameter:
    distributions: dict[str, Distribution] = {}
    for part, make in _WIDTH_PARTS.items():
        limits: Any = entry.get(part)
        numbers = isinstance(limits, list) and all(isinstance(limit, int | float) for limit in limits)
        if not numbers or len(limits) != 2 or not 1 <= limits[0] <= limits[1]:
            raise UserError(f"{place}: {part}: expected [LOW, HIGH] with 1 <= LOW <= HIGH, got {limits!r}")
        distributions[f"{name}.{part}"] = make(*limits)
    mirror = entry.get("mirror")
    if mirror is not None and not isinstance(mirror, str):
        raise UserError(f"{place}: mirror: expected the key that gets the reversed list, got {mirror!r}")
    return Parameter(name, distributions, (name, mirror) if mirror else (name,), when, mirror=mirror)


_WIDTH_PARTS: dict[str, Callable[[Any, Any], IntDistribution | FloatDistribution]] = {
    "depth": lambda low, high: IntDistribution(int(low), int(high)),
    "first": lambda low, high: IntDistribution(int(low), int(high), log=True),
    "shrink": lambda low, high: FloatDistribution(low, high),
}


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
                    hint = did_you_mean(key, keys)
                    raise UserError(f"search, {parameter.name}: {key!r} is no key of the experiment{hint}")
            for name, values in parameter.when.items():
                self._check_condition(parameter.name, name, values, above, keys)
            self._check_conditions_together(parameter)
            above |= parameter.distributions

    def _check_conditions_together(self, parameter: Parameter) -> None:
        """Refuse conditions that contradict those of the parameters that they name, over any number of steps."""
        owners = {name: other for other in self.parameters for name in other.distributions}
        wanted: dict[str, tuple[set[Any], str]] = {}
        pending = [parameter]
        while pending:
            owner = pending.pop()
            for name, values in owner.when.items():
                if name not in owners:
                    continue  # what the experiment fixes was checked alone
                allowed = {label(value) for value in values}
                if name in wanted and not wanted[name][0] & allowed:
                    here, there = (sorted(map(str, values)) for values in (allowed, wanted[name][0]))
                    raise UserError(
                        f"search, {parameter.name}: when: can never hold: {name} must be one of {here} for "
                        f"{owner.name}, and one of {there} for {wanted[name][1]}"
                    )
                wanted[name] = (allowed & wanted[name][0] if name in wanted else allowed), owner.name
                pending.append(owners[name])

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
        elif new_key(name) not in keys:
            hint = did_you_mean(name, [*above, *keys])
            raise UserError(f"{place}: is neither searched nor a key of the experiment{hint}")
        elif (fixed := keys[new_key(name)]) not in values:
            raise UserError(
                f"{place}: can never be one of {values}: the experiment has {fixed!r}, and no search sets it"
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
