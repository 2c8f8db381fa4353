"""Measured X-ray spectra and what is known to be in them: the table that names are judged by.

Energies are those of the line table, in keV. A sure line must be named; of what else is named, the source must be one
that can be in the sample or the instrument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SHIFTS_EV = (-80, -55, -40, -20, 0, 20, 40)

# The instrument of the NIST spectra: detector, collimators and holder give weak lines of these.
_INSTRUMENT = frozenset(["Al", "Si", "Ca", "Cr", "Fe", "Co", "Ni", "Cu"])
_TUBE_NIST = ((20.17, "Rh Kα"), (22.71, "Rh Kβ"))


@dataclass(frozen=True)
class Measured:
    """One spectrum, or several of one detector, and the truth about it."""

    name: str
    spectra_KC: np.ndarray
    axis: SpectralAxis
    sure: tuple[tuple[float, str], ...]
    """Energies and names; a name of the tube's lines may be followed by Rayleigh or Compton."""
    sources: frozenset[str]
    """Elements that the sample and the tube have."""
    weak_sources: frozenset[str] = frozenset()
    """Elements that may give lines of up to `weak` of the highest peak."""
    weak: float = 0.01
    beam: float = np.inf
    """keV above which a monochromatic beam is scattered: there is no line at all."""


NIST = {
    "Acrylic": ("", ((2.69, "Rh Lα"), (18.9, "Rh Kα Compton"), *_TUBE_NIST)),
    "Cr": ("Cr", ((5.41, "Cr Kα"), (5.95, "Cr Kβ"), *_TUBE_NIST)),
    "Cu": ("Cu", ((8.04, "Cu Kα"), (8.90, "Cu Kβ"), (0.93, "Cu Lα"), *_TUBE_NIST)),
    "Fe": ("Fe", ((6.40, "Fe Kα"), (7.06, "Fe Kβ"), *_TUBE_NIST)),
    "Ni": ("Ni", ((7.47, "Ni Kα"), (8.26, "Ni Kβ"), *_TUBE_NIST)),
    "S": ("S", ((2.31, "S Kα"), *_TUBE_NIST)),
    "Si": ("Si", ((1.74, "Si Kα"), *_TUBE_NIST)),
    "Sn": (
        "Sn",
        ((3.444, "Sn Lα"), (3.68, "Sn Lβ"), (3.90, "Sn Lβ"), (25.19, "Sn Kα"), (28.47, "Sn Kβ"), *_TUBE_NIST),
    ),
    "Steel": (  # the alloying elements of a stainless steel, and its impurities
        "Fe Cr Ni Mo Mn Ti Si P S V Co Cu W Nb",
        ((5.41, "Cr Kα"), (5.95, "Cr Kβ"), (6.40, "Fe Kα"), (7.06, "Fe Kβ"), (7.47, "Ni Kα"), (8.26, "Ni Kβ"),
         (4.51, "Ti Kα"), (17.44, "Mo Kα"), (19.60, "Mo Kβ"), *_TUBE_NIST),
    ),
    "Ti": ("Ti", ((4.51, "Ti Kα"), (4.93, "Ti Kβ"), (2.69, "Rh Lα"), *_TUBE_NIST)),
    "Zr": (  # never without hafnium
        "Zr Hf",
        ((15.75, "Zr Kα"), (17.66, "Zr Kβ"), (2.05, "Zr Lα"), (7.89, "Hf Lα"), (9.02, "Hf Lβ"), (6.40, "Fe Kα"),
         *_TUBE_NIST),
    ),
}  # fmt: skip
"""Elements of the sample, and its sure lines: in the name of the file."""

_XFM_SURE = (
    (1.74, "Si Kα"), (3.31, "K Kα"), (3.69, "Ca Kα"), (4.01, "Ca Kβ"), (4.51, "Ti Kα"), (4.93, "Ti Kβ"),
    (5.90, "Mn Kα"), (6.40, "Fe Kα"), (7.06, "Fe Kβ"), (8.04, "Cu Kα"), (8.90, "Cu Kβ"),
    (16.4, "Mo Kα Compton"), (17.44, "Mo Kα"),
)  # fmt: skip
_XFM_SOURCES = frozenset(
    ["Na", "Mg", "Al", "Si", "P", "S", "Cl", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Ni", "Cu", "Zn", "Rb", "Sr", "Mo"]
)

_AXO_SURE = (
    (1.74, "Si Kα"), (2.957, "Ar Kα"), (3.69, "Ca Kα"), (4.01, "Ca Kβ"), (4.65, "La Lα"), (5.05, "La Lβ"),
    (6.40, "Fe Kα"), (7.06, "Fe Kβ"), (8.04, "Cu Kα"), (8.90, "Cu Kβ"),
)  # fmt: skip
_AXO_SOURCES = frozenset(["Si", "Ar", "Ca", "Fe", "Cu", "La", "Pd", "Mo", "Pb"])  # the film, its membrane and air


def nist(folder: Path, name: str) -> Measured:
    """A spectrum under a tube of rhodium."""
    cube = read_cube(folder / "nist_xrf" / f"{name}_50kv_50_ma_Rh_vac_D1.msa")
    elements, sure = NIST[name]
    counts = cube.read_rows(0, 1)[0, 0].astype(float)
    weak = 0.01 if elements else 0.2  # nothing in acrylic gives lines: the highest peak is scattered
    return Measured(name, counts[None], cube.axis, sure, frozenset(elements.split()) | {"Rh"}, _INSTRUMENT, weak)


def xfm(folder: Path) -> Measured:
    """Means of four groups of pixels of a rock, by their iron over their calcium."""
    cube = np.load(folder / "xfm_micro_xrf" / "ts2_01_sub_export_data.npy").reshape(200, 2, 4096).sum(1).astype(float)
    ratio = cube[:, 625:656].sum(1) / cube[:, 354:385].sum(1)
    spectra = [group.mean(0) for group in np.array_split(cube[np.argsort(ratio)], 4)]
    return Measured("xfm", np.array(spectra), SpectralAxis.linear(0, 0.01, 4096, "keV"), _XFM_SURE, _XFM_SOURCES)


def axo(folder: Path, detector: int) -> Measured:
    """A thin film of known elements under a monochromatic beam of 10 keV; the axis goes through its Fe Kα and Cu Kα."""
    counts = np.load(folder / "aps_xrf" / "aps_axo_std_counts.npz")["counts"].sum((0, 1))[detector].astype(float)
    iron, copper = ((667.53, 838.64), (667.32, 838.31), (658.78, 827.62), (664.34, 834.63))[detector]
    return Measured(
        f"axo {detector}", counts[None], _through(iron, copper, counts.size), _AXO_SURE, _AXO_SOURCES, beam=9.2
    )


def maps(folder: Path) -> Measured:
    """The same film in a MAPS file, two detectors."""
    with h5py.File(folder / "aps_xrf" / "2xfm_0011_2xfm3__0.h5") as file:
        counts = sum(file[f"MAPS_RAW/data_{d}"][:, :, 1:].astype(float).sum((1, 2)) for d in "ab")
    return Measured("maps", counts[None], _through(667.6, 838.5, counts.size), _AXO_SURE, _AXO_SOURCES, beam=9.2)


def _through(iron: float, copper: float, channels: int) -> SpectralAxis:
    step = (8.0413 - 6.3995) / (copper - iron)
    return SpectralAxis.linear(6.3995 - step * iron, step, channels, "keV")


def all_measured(folder: Path) -> Iterator[Measured]:
    """Every spectrum of the table."""
    yield from (nist(folder, name) for name in NIST)
    yield xfm(folder)
    yield from (axo(folder, detector) for detector in range(4))
    yield maps(folder)


@dataclass
class Score:
    """Names of sure lines that are right or missing, other names that are wrong, and those of them with a "?"."""

    right: int = 0
    missing: int = 0
    wrong: int = 0
    doubtful: int = 0

    def __iadd__(self, other: Score) -> Score:
        self.right += other.right
        self.missing += other.missing
        self.wrong += other.wrong
        self.doubtful += other.doubtful
        return self


def judge(
    measured: Measured, labels: Sequence[Sequence], shift: float, tolerance: float = 0.07
) -> tuple[Score, list[str]]:
    """Compare the first names with the truth, of peaks on an axis that is `shift` keV too high.

    A sure line without a peak of 12 sigma in one of several spectra is not asked for.
    """
    score, said = Score(), []
    for found in labels:
        highest = max((peak.peak.height for peak in found), default=0.0)
        for energy, name in measured.sure:
            reach = 0.3 if "Compton" in name else tolerance
            near = [p for p in found if abs(p.peak.position - shift - energy) < reach and p.candidates]
            names = [p.candidates[0].label for p in near]
            if any(label == name or label == f"{name} Rayleigh" for label in names):
                score.right += 1
            elif (
                len(labels) == 1
                or max(
                    (p.peak.significance for p in found if abs(p.peak.position - shift - energy) < reach), default=0.0
                )
                >= 12
            ):
                score.missing += 1
                said.append(f"missing {name} at {energy}: {names}")
        for peak in found:
            if not peak.candidates:
                continue
            best, energy = peak.candidates[0], peak.peak.position - shift
            allowed = measured.sources
            if peak.peak.height < measured.weak * highest:
                allowed = allowed | measured.weak_sources
            if best.source not in allowed or energy > measured.beam:
                score.wrong += 1
                score.doubtful += best.score < 0.5
                said.append(f"wrong {peak.text} at {energy:.3f} ({peak.peak.significance:.0f} sigma)")
    return score, said
