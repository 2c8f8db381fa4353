"""How firm the borders between clusters are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, NamedTuple

from deepspec.segmentation.structure import GRADED

if TYPE_CHECKING:
    from deepspec.segmentation import Segmentation


class Border(NamedTuple):
    """What divides two clusters."""

    first: int
    """Cluster, the smaller number."""
    second: int
    """The other."""
    r: float
    """Valley ratio: the density along the border over the lower height beside it, 0 to 1."""
    kind: Literal["firm", "graded"]
    """Firm where r is below `GRADED`."""


def borders_of(segmentation: Segmentation) -> list[Border] | None:
    """The border of every pair of clusters, the most graded first; None where borders were not looked at.

    Of equal ones the pair with the lower numbers comes first.
    """
    if segmentation.borders is None:
        return None
    found = []
    for first, second in itertools.combinations(range(segmentation.k), 2):
        r = float(segmentation.borders[first, second])
        found.append(Border(first, second, r, "firm" if r < GRADED else "graded"))
    return sorted(found, key=lambda border: -border.r)
