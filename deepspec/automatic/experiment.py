"""An experiment as keys, as far as the data allow it: spectra without an image have no neighbours."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from deepspec.errors import UserError, described
from deepspec.presets import find_config

if TYPE_CHECKING:
    from pathlib import Path


def keys_of(experiment: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an experiment.

    Args:
        experiment: name of a preset, path of a YAML file, or the keys.

    Raises:
        UserError: there is no such preset or file, or it holds something else.
    """
    if isinstance(experiment, Mapping):
        return copy.deepcopy({str(name): value for name, value in experiment.items()})
    if not isinstance(experiment, (str, os.PathLike)):
        raise UserError(f"experiment: expected the name of a preset, a path or a mapping, got {described(experiment)}")
    from jsonargparse import get_loader

    try:
        path = find_config(str(experiment), "experiments")
        # The parser's own loader: to YAML 1.1 as PyYAML reads it 1e-3 is a text.
        found = get_loader("yaml")(path.read_text(encoding="utf-8"))
    except UserError as error:
        raise UserError(f"experiment: {str(error).removeprefix('--config ')}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"experiment: {experiment} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"experiment: {path}: expected a mapping of keys, got {type(found).__name__}")
    return found


def without_neighbours(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The same experiment for spectra without an image: without the step `mnf`, with each spectrum its own target.

    `mnf` measures the noise on neighbouring pixels, and a neighbour's spectrum is what `data.target: neighbour` trains
    on. Of `views` the chains that have no such step stay.

    Raises:
        UserError: no preprocessing is left.

    >>> steps = [{"step": "views", "chains": [["max"], ["mnf"]]}]
    >>> without_neighbours({"data": {"target": "neighbour"}, "model": {"preprocess": steps}})
    {'data': {'target': 'self'}, 'model': {'preprocess': [{'step': 'views', 'chains': [['max']]}]}}
    """
    found = copy.deepcopy(dict(keys))
    if (found.get("data") or {}).get("target") == "neighbour":
        found["data"]["target"] = "self"
    steps = (found.get("model") or {}).get("preprocess")
    if isinstance(steps, list):
        found["model"]["preprocess"] = [left for step in steps if (left := _step_without(step)) is not None]
        if steps and not found["model"]["preprocess"]:
            raise UserError("spectra without an image have no neighbours, on which the step mnf measures the noise")
    return found


def _step_without(step: Any) -> Any:
    name = step.get("step") if isinstance(step, dict) else step
    if name == "mnf":
        return None
    if name != "views" or not isinstance(step, dict) or not isinstance(step.get("chains"), list):
        return step
    chains = [chain for chain in step["chains"] if not any(_step_without(inner) is None for inner in chain)]
    return {**step, "chains": chains} if chains else None
