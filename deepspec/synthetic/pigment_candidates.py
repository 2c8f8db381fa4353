"""Which historical pigments the elements of a spectrum could be, with what speaks for and against each.

X-ray fluorescence sees elements, not compounds: azurite, malachite and verdigris are all copper. So pigments are
ranked, those that the elements cannot tell apart stand together, and no single one is claimed.

Shapes: E emission energies, P pigments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from deepspec.lines.xray_lines import lines_of
from deepspec.synthetic.pigments import stored_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.axis import SpectralAxis
    from deepspec.lines.candidate import LabelledPeak

USED = {
    "lead white": "antiquity to the 20th century",
    "chalk": "at all times",
    "gypsum": "at all times",
    "vermilion": "antiquity to today",
    "red lead": "antiquity to the 20th century",
    "red ochre": "at all times",
    "red lake": "antiquity to today",
    "orpiment": "antiquity to the 19th century",
    "realgar": "antiquity to the 19th century",
    "lead-tin yellow": "about 1300 to 1750",
    "mosaic gold": "13th to 15th century, seldom later",
    "yellow ochre": "at all times",
    "yellow lake": "antiquity to the 19th century",
    "gold": "at all times",
    "silver": "at all times",
    "malachite": "antiquity to about 1800",
    "verdigris": "antiquity to the 19th century",
    "copper sulphate green": "15th and 16th century",
    "copper chloride green": "antiquity to the 16th century",
    "green earth": "antiquity to today",
    "vergaut": "early middle ages to the 15th century",
    "azurite": "antiquity to about 1700",
    "ultramarine": "from the 12th century in Europe",
    "indigo": "antiquity to today",
    "smalt": "about 1500 to 1800",
    "carbon black": "at all times",
    "bone black": "antiquity to today",
    "iron-gall ink": "late antiquity to the 20th century",
    "umber": "from the late 15th century",
    "bismuth ink": "about 1450 to 1550",
}
"""When each pigment was in use in Europe, after Eastaugh et al., The Pigment Compendium (2004), and Artists' Pigments
(National Gallery of Art, 4 volumes); of a pigment that is made to this day what matters is when it begins."""

EXPECTED = 0.02
"""Share of what a pigment itself emits from which on an element of it should be seen."""

_LEAST_SCORE = 0.4
"""Candidates whose score is less are not listed."""

_SURE = 0.5
"""Score of a peak's first candidate whose element counts as found."""


@dataclass(frozen=True)
class PigmentCandidate:
    """One pigment that a spectrum may be of."""

    name: str
    """As in the table of `deepspec.synthetic.load_pigments`."""
    formula: str
    """Chemical formula, or what it consists of."""
    used: str
    """When it was in use in Europe."""
    score: float
    """0 to 1: the square of how much of what the pigment emits is found, by the roots of its elements' shares, times
    how much of what is found it explains; the latter counts half, for paints are mixtures and lie on others. It ranks,
    and is no probability."""
    found: tuple[str, ...]
    """Elements that speak for it, the strongest first."""
    missing: tuple[str, ...]
    """Elements that should be seen and are not: these speak against it."""
    unseen: tuple[str, ...]
    """Elements of it that this measurement cannot see."""
    like: tuple[str, ...]
    """Pigments of the table that the elements seen cannot tell it from."""

    @property
    def sentence(self) -> str:
        """What speaks for and against it."""
        parts = [f"for: {', '.join(self.found)}"]
        if self.missing:
            parts.append(f"against: no {', '.join(self.missing)}")
        if self.unseen:
            parts.append(f"cannot be seen: {', '.join(self.unseen)}")
        if self.like:
            parts.append(f"not told from {', '.join(self.like)}")
        return "; ".join(parts)


def elements_of_peaks(labels: Sequence[LabelledPeak]) -> dict[str, float]:
    """Strength of each element that is the first candidate of a peak: the height of its highest one.

    Args:
        labels: peaks of an X-ray spectrum.
    """
    found: dict[str, float] = {}
    for peak in labels:
        top = peak.candidates[0] if peak.candidates else None
        if top is not None and top.kind == "line" and top.score >= _SURE:
            found[top.source] = max(found.get(top.source, 0.0), peak.peak.height)
    return found


def pigment_candidates(
    elements: Mapping[str, float], axis: SpectralAxis, *, support: Sequence[str] = (), most: int = 8
) -> list[PigmentCandidate]:
    """Pigments of the table, the most likely first.

    Args:
        elements: strength of each element that was found, in any unit, as `elements_of_peaks`.
        axis: of energies: elements without a line on it can neither speak for a pigment nor against it.
        support: elements that are taken to be of what lies below, such as Ca of parchment: they count for a pigment,
            but need no explanation by it.
        most: how many at most.

    Returns:
        Candidates; none where no pigment of the table has what was found.

    Raises:
        ValueError: the axis has no energies, or a strength is negative.
    """
    if axis.unit != "keV":
        raise ValueError(f"expected an axis of energies, got {axis}")
    if any(not strength >= 0 for strength in elements.values()):
        raise ValueError(f"expected strengths of elements that are not negative, got {dict(elements)}")
    low, high = float(axis.values.min()), float(axis.values.max())
    weights = {e: s**0.5 for e, s in elements.items() if s > 0 and e not in support}
    total = sum(weights.values())
    found = []
    for name, formula, shares, light in _pigments():
        seen = {e: share for e, share in shares.items() if share >= EXPECTED and _visible(e, low, high)}
        beyond = sorted(light | {e for e, share in shares.items() if share >= EXPECTED and e not in seen})
        if not seen:
            continue
        there = {e: share for e, share in seen.items() if elements.get(e, 0) > 0}
        if not set(there) - set(support):
            continue
        # By roots, for what tells pigments apart, as the tin of lead-tin yellow, may emit little; squared, for what is
        # missing says more than what is there.
        coverage = (sum(there[e] ** 0.5 for e in there) / sum(share**0.5 for share in seen.values())) ** 2
        explained = sum(weights.get(e, 0.0) for e in shares) / total if total > 0 else 0.0
        score = coverage * (0.5 + 0.5 * explained)
        if score >= _LEAST_SCORE:
            found.append((score, name, formula, seen, there, beyond))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [
        PigmentCandidate(
            name=name,
            formula=formula,
            used=USED[name],
            score=round(score, 3),
            found=tuple(sorted(there, key=lambda e: -there[e])),
            missing=tuple(sorted(set(seen) - set(there), key=lambda e: -seen[e])),
            unseen=tuple(beyond),
            like=tuple(other[1] for other in found if other[1] != name and set(other[3]) == set(seen)),
        )
        for score, name, formula, seen, there, beyond in found[:most]
    ]


def not_in_the_table(elements: Mapping[str, float]) -> list[str]:
    """Elements that no pigment of the table has, as titanium and zinc of modern whites."""
    known = {e for _, _, shares, light in _pigments() for e in {*shares, *light}}
    return sorted(set(elements) - known)


def _visible(element: str, low: float, high: float) -> bool:
    return any(low < line.energy < high and line.intensity > 0.3 for line in lines_of().get(element, ()))


@lru_cache
def _pigments() -> tuple[tuple[str, str, dict[str, float], frozenset[str]], ...]:
    """Name, formula, share of each element in what the pigment itself emits, and its elements that emit nothing.

    Lines of the parchment below and of the tube are left out.
    """
    description, arrays = stored_table()
    own_E = (arrays["element"] > 0) & ~arrays["parchment"]
    symbols = _symbols()
    found = []
    for number, pigment in enumerate(description["pigments"]):
        if not pigment["layers"]:  # the parchment itself
            continue
        emitted_E = np.where(own_E, arrays["emission"][number], 0.0).astype(np.float64)
        total = float(emitted_E.sum())
        shares = {}
        for z in np.unique(arrays["element"][emitted_E > 0]).tolist():
            shares[symbols[z]] = float(emitted_E[arrays["element"] == z].sum()) / total
        light = {e for e in pigment["top_layer_elements"] if e not in shares and e not in ("C", "H", "O", "N")}
        found.append((pigment["name"], pigment["formula"], shares, frozenset(light)))
    return tuple(found)


@lru_cache
def _symbols() -> dict[int, str]:
    """Symbol by atomic number, of the elements that pigments have."""
    names = (
        "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
        "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir "
        "Pt Au Hg Tl Pb Bi"
    )
    return dict(enumerate(names.split(), 1))
