"""The table of steps, and from an item of the `preprocess` list in a YAML file to a step.

A step of our own is a class, in a file of its kind, and a line here. Another package adds one by the entry point
`deepspec.steps`, or with `STEPS.register`: a subclass of `Step`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from deepspec.errors import UserError, did_you_mean
from deepspec.extensions import Extensible
from deepspec.preprocess.step import Step

if TYPE_CHECKING:
    from collections.abc import Mapping


def _check_step(name: str, step: object) -> None:
    if not (isinstance(step, type) and issubclass(step, Step)):
        raise UserError(f"expected a subclass of deepspec.preprocess.step.Step, got {step!r}")
    if "channels" not in inspect.signature(step).parameters:
        raise UserError(f"{step.__name__} has no argument channels, the number of those that come in")


_OWN = {
    "rebin": "rebin:Rebin",
    "smooth": "smooth:Smooth",
    "snip": "smooth:Snip",
    "clip": "pointwise:Clip",
    "log1p": "pointwise:Log1p",
    "log": "pointwise:Log",
    "sqrt": "pointwise:Sqrt",
    "anscombe": "pointwise:Anscombe",
    "max": "normalise:Max",
    "area": "normalise:Area",
    "unit": "normalise:Unit",
    "dose": "normalise:Dose",
    "standard": "scaling:Standard",
    "minmax": "scaling:MinMax",
    "quantile_tanh": "scaling:QuantileTanh",
    "pca": "projections:PCA",
    "mnf": "projections:MNF",
    "views": "views:Views",
}

STEPS: Extensible[type[Step]] = Extensible(
    "preprocessing step",
    "deepspec.steps",
    {name: f"deepspec.preprocess.{place}" for name, place in _OWN.items()},
    check=_check_step,
)
"""All steps by name."""


def build_step(item: str | dict[str, Any], channels: int) -> Step:
    """The step that `item` names, for spectra of `channels` channels.

    Args:
        item: a name (`"sqrt"`), or a mapping of `step` to the name and of parameters to their values
            (`{"step": "rebin", "bins": 512}`).
        channels: number of channels that come in.

    Raises:
        UserError: the name or a parameter is unknown, a parameter is missing or has an impossible value.
    """
    if isinstance(item, str):
        item = {"step": item}
    if not isinstance(item, dict) or not isinstance(item.get("step"), str):
        raise UserError(
            f"a preprocessing step is a name, or a mapping such as {{step: rebin, bins: 512}}; got {item!r}"
        )
    name = item["step"]
    step = STEPS[name]
    parameters = {key: value for key, value in item.items() if key != "step"}
    accepted: Mapping[str, inspect.Parameter] = {
        key: parameter for key, parameter in inspect.signature(step).parameters.items() if key != "channels"
    }
    for key in parameters:
        if key not in accepted:
            known = did_you_mean(str(key), accepted, otherwise="list") if accepted else "; it takes none"
            raise UserError(f"{name}: unknown parameter {key!r}{known}")
    for key, parameter in accepted.items():
        if parameter.default is parameter.empty and key not in parameters:
            raise UserError(f"{name}: the parameter {key!r} is missing; write {{step: {name}, {key}: ...}}")
    return step(channels, **parameters)
