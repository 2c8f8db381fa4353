"""What a peak of a spectrum may be: ranked candidates, never one claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.lines.peaks import Peak

Kind = Literal["line", "escape", "sum", "scatter"]


@dataclass(frozen=True)
class Candidate:
    """One explanation of a peak."""

    label: str
    """As in "Fe Kα", "Fe Kα escape", "Fe Kα + Fe Kα", "Rh Kα Rayleigh", "[OIII]5007"."""
    source: str
    """Chemical symbol, or the ion as in "O III"."""
    kind: Kind
    """line: of an atom; escape: a line less the 1.74 keV that left the silicon detector; sum: two photons counted as
    one; scatter: a line of the tube that the sample scattered, with its energy (Rayleigh) or less (Compton)."""
    position: float
    """Where it should lie, in the unit of the axis; of X-ray lines its energy, whatever the axis says."""
    score: float
    """0 to 1, comparable among the candidates of one peak."""
    family: float
    """0 to 1: the share of the peak that the source can explain without making its other lines stronger than what was
    measured; of wavelengths, the share of its companions that are there."""
    redshift: float = 0.0
    """Of an emission line: at which it was looked for."""


@dataclass(frozen=True)
class LabelledPeak:
    """A peak and what it may be."""

    peak: Peak
    """Where and how strong."""
    candidates: tuple[Candidate, ...]
    """From the most to the least likely; empty if nothing known lies there."""
    explained: float = 0.0
    """Of an X-ray peak: height of the fitted lines there as a share of the measured one; 1 is all of it."""

    @property
    def text(self) -> str:
        """The first candidate, "?" after it if it is a weak one, or the position if there is none."""
        if not self.candidates:
            return f"{self.peak.position:.4g}"
        best = self.candidates[0]
        return best.label if best.score >= 0.5 else f"{best.label}?"


def ranked(candidates: Sequence[Candidate], most: int = 5) -> tuple[Candidate, ...]:
    """The best candidates, one for each label."""
    best: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        best.setdefault(candidate.label, replace(candidate, score=round(candidate.score, 3)))
    return tuple(best.values())[:most]
