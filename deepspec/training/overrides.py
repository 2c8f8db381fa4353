"""A configuration with some of its keys set anew: what sweeps and `deepspec.train` lay over an experiment."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a configuration with some keys set, which are dotted or nested.

    A class that an override names by another `class_path` replaces the one before, with all its arguments.

    >>> with_overrides({"data": {"root": "a", "batch_size": 8}}, {"data.root": "b", "data": {"max_rows": 5}})
    {'data': {'root': 'b', 'batch_size': 8, 'max_rows': 5}}
    >>> with_overrides({"logger": {"class_path": "A", "init_args": {"x": 1}}}, {"logger": {"class_path": "B"}})
    {'logger': {'class_path': 'B'}}
    """
    result = copy.deepcopy(dict(config))
    for key, value in overrides.items():
        *parents, last = key.split(".")
        place = result
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        before = place.get(last)
        if isinstance(value, dict) and isinstance(before, dict) and not _another_class(before, value):
            place[last] = with_overrides(before, value)
        else:
            place[last] = copy.deepcopy(value)
    return result


def _another_class(before: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "class_path" in before and before["class_path"] != value.get("class_path", before["class_path"])
