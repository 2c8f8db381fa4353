"""How peaks are found and named: the options that every verb has which names peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from deepspec.errors import UserError


@dataclass(frozen=True)
class LineOptions:
    """What is known about the measurement when peaks are named.

    Args:
        tube: anode of the X-ray tube (Rh, Mo, Ag, Pd, W, Cr), whose scattered lines are flagged; none where there is no
            tube; without it, it is looked for.
        significance: peaks stand out of the noise by at least this many standard deviations.
        medium: whether wavelengths are in air or in vacuum.
        refine_axis: put energies right by the lines of the elements that are found, in all results.
    """

    tube: str | None = None
    significance: float = 5.0
    medium: Literal["air", "vacuum"] = "air"
    refine_axis: bool = False

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: saying what is expected.
        """
        from deepspec.lines.tube import check_tube

        check_tube(self.tube)
        if not (math.isfinite(self.significance) and self.significance >= 3):
            raise UserError(
                f"significance: expected at least 3 standard deviations, got {self.significance:g}; with less, noise "
                "has peaks"
            )
