"""How firm the borders between clusters are."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from deepspec.segmentation.scatter import MOSTLY
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
    scatter: float | None
    """How much of what tells the two apart is scatter of the tube's lines, 0 to 1 (`scatter_share`); None where it is
    not known."""

    @property
    def scatter_text(self) -> str:
        """The share, and whether scatter drives the border."""
        if self.scatter is None:
            return "not known"
        return f"{100 * self.scatter:.0f} %" + (", drives the border" if self.scatter > MOSTLY else "")


def borders_of(segmentation: Segmentation) -> list[Border] | None:
    """The border of every pair of clusters, the most graded first; None where borders were not looked at.

    Of equal ones the pair with the lower numbers comes first.
    """
    if segmentation.borders is None:
        return None
    found = []
    shares = segmentation.border_scatter
    for first, second in itertools.combinations(range(segmentation.k), 2):
        r = float(segmentation.borders[first, second])
        share = math.nan if shares is None else float(shares[first, second])
        scatter = share if math.isfinite(share) else None
        found.append(Border(first, second, r, "firm" if r < GRADED else "graded", scatter))
    return sorted(found, key=lambda border: -border.r)
