"""From an item of the `steps` list in a YAML file to a step."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

from deepspec.errors import UserError
from deepspec.preprocess.dose import Dose
from deepspec.preprocess.log import Log
from deepspec.preprocess.mnf import MNF
from deepspec.preprocess.normalise import Area, Max, Unit
from deepspec.preprocess.pca import PCA
from deepspec.preprocess.pointwise import Anscombe, Clip, Log1p, Sqrt
from deepspec.preprocess.quantile_tanh import QuantileTanh
from deepspec.preprocess.rebin import Rebin
from deepspec.preprocess.scaling import MinMax, Standard
from deepspec.preprocess.smooth import Smooth
from deepspec.preprocess.snip import Snip
from deepspec.preprocess.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deepspec.preprocess.step import Step

STEPS: dict[str, type[Step]] = {
    "rebin": Rebin,
    "smooth": Smooth,
    "snip": Snip,
    "clip": Clip,
    "log1p": Log1p,
    "log": Log,
    "sqrt": Sqrt,
    "anscombe": Anscombe,
    "max": Max,
    "area": Area,
    "unit": Unit,
    "dose": Dose,
    "standard": Standard,
    "minmax": MinMax,
    "quantile_tanh": QuantileTanh,
    "pca": PCA,
    "mnf": MNF,
    "views": Views,
}


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
    if name not in STEPS:
        raise UserError(f"unknown preprocessing step {name!r}{_nearest(name, STEPS)}")
    parameters = {key: value for key, value in item.items() if key != "step"}
    accepted = dict(inspect.signature(STEPS[name]).parameters)
    del accepted["channels"]
    for key in parameters:
        if key not in accepted:
            raise UserError(f"{name}: unknown parameter {key!r}{_nearest(str(key), accepted)}")
    for key, parameter in accepted.items():
        if parameter.default is parameter.empty and key not in parameters:
            raise UserError(f"{name}: the parameter {key!r} is missing; write {{step: {name}, {key}: ...}}")
    return STEPS[name](channels, **parameters)


def _nearest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    if not names:
        return "; it takes none"
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(names)}"
