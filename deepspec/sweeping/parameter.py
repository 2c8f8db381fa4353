"""One entry of a sweep's search space: what Optuna draws for it, and which keys of the experiment that sets."""

from __future__ import annotations

import difflib
import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

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
        name: the key of the experiment that it sets, or any name if its choices say which keys they set.
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
            return self.options[drawn[self.name]]
        if len(self.distributions) == 1:
            return {self.name: drawn[self.name]}
        depth, first, shrink = (drawn[name] for name in self.distributions)
        widths = [max(1, round(first / shrink**layer)) for layer in range(depth)]
        return {self.name: widths} | ({self.mirror: widths[::-1]} if self.mirror else {})

    def extremes(self) -> list[dict[str, Any]]:
        """What it sets at every choice, or at both ends of its range."""
        if self.options is not None:
            return list(self.options.values())
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
    return Parameter(name, {name: _number(place, entry)}, (name,), conditions)


def label(value: Any) -> Any:
    """What Optuna stores for a value: itself if it is a plain one, else its JSON text.

    >>> label([512, 256]), label("snn"), label(None)
    ('[512, 256]', 'snn', None)
    """
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def unknown_key(place: str, given: Iterable[str], known: set[str]) -> None:
    """Refuse a key that is not known, and name the nearest that is.

    Raises:
        UserError: as said.
    """
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.4)
            hint = f" (did you mean {near[0]!r}?)" if near else f"; expected one of {', '.join(sorted(known))}"
            raise UserError(f"{place}: unknown key {key!r}{hint}")


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
        keys: tuple[str, ...] = (name,)
    else:
        wrong = next((choice for choice, sets in choices.items() if not isinstance(sets, dict)), None)
        if wrong is not None:
            raise UserError(f"{place}: choices, {wrong}: expected a mapping of keys to values, got {choices[wrong]!r}")
        options = {label(choice): dict(sets) for choice, sets in choices.items()}
        keys = tuple(dict.fromkeys(key for sets in options.values() for key in sets))
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
