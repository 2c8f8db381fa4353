"""Numbers, settings and their names as tables, pages and the terminal show them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def number_text(value: float, digits: int = 4) -> str:
    """Four significant digits; a dash for NaN.

    >>> number_text(0.00123456), number_text(512), number_text(0.0456, 2), number_text(float("nan"))
    ('0.001235', '512', '0.046', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{digits}g}"


def value_text(value: object) -> str:
    """A parameter's value, short."""
    return number_text(value) if isinstance(value, float) else str(value)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name, and as many more as tell it apart from the others.

    >>> short_names(["model.network.latent", "beta.value", "loss.gamma.value"])
    {'model.network.latent': 'latent', 'beta.value': 'beta.value', 'loss.gamma.value': 'gamma.value'}
    """
    found = {}
    for name in names:
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            found[name] = ".".join(parts[-count:])
            if sum(f".{other}".endswith(f".{found[name]}") for other in names) == 1:
                break
    return found
