"""Make the committed table of X-ray lines: `python -m deepspec.lines.make_xray_table` (needs `deepspec[xrf]`).

It writes `xray_lines.csv` beside this file: energies and relative intensities of the lines of the elements from carbon
to uranium, from xraylib.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import xraylib
import xraylib_np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

TABLE = Path(__file__).with_name("xray_lines.csv")

# Siegbahn name: the transitions in xraylib's notation whose photons nobody can tell apart
TRANSITIONS = {
    "Ka1": ("KL3",), "Ka2": ("KL2",), "Kb1": ("KM3",), "Kb3": ("KM2",), "Kb2": ("KN2", "KN3"), "Kb4": ("KN4", "KN5"),
    "Kb5": ("KM4", "KM5"),
    "La1": ("L3M5",), "La2": ("L3M4",), "Lb1": ("L2M4",), "Lb3": ("L1M3",), "Lb4": ("L1M2",), "Lb2": ("L3N5",),
    "Lb15": ("L3N4",), "Lb5": ("L3O45",), "Lb6": ("L3N1",), "Lb7": ("L3O1",), "Lb9": ("L1M5",), "Lb10": ("L1M4",),
    "Lg1": ("L2N4",), "Lg2": ("L1N2",), "Lg3": ("L1N3",), "Lg4": ("L1O2", "L1O3"), "Lg5": ("L2N1",), "Lg6": ("L2O4",),
    "Lg8": ("L2O1",), "Ll": ("L3M1",), "Ln": ("L2M1",), "Ls": ("L3M3",),
    "Ma1": ("M5N7",), "Ma2": ("M5N6",), "Mb": ("M4N6",), "Mg": ("M3N5",),
}  # fmt: skip

ENERGIES_KEV = (0.2, 120.0)
WEAKEST = 5e-4
"""Lines below this share of the strongest of their shell are left out."""

_EXCITED_KEV = 40.0
_DEEP_EXCITED_KEV = 150.0
_SHELLS = {"K": (xraylib.K_SHELL,), "L": (xraylib.L3_SHELL,), "M": (xraylib.M5_SHELL,)}


def line_list() -> str:
    """Contents of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["element", "line", "energy_kev", "relative_intensity"])
    with threadpool_limits(1):  # xraylib starts threads for arrays of a few elements, ten times slower if shared
        for z in range(6, 93):
            for shell in "KLM":
                writer.writerows(_shell_lines(z, shell))
    return text.getvalue()


def _shell_lines(z: int, shell: str) -> list[list[str]]:
    try:
        edge = xraylib.EdgeEnergy(z, _SHELLS[shell][0])
    except ValueError:  # xraylib's word for a shell that the element does not have
        return []
    excited = np.array([_EXCITED_KEV if edge < 0.95 * _EXCITED_KEV else _DEEP_EXCITED_KEV])
    found = {name: _line(z, name, excited) for name in TRANSITIONS if name.startswith(shell)}
    # M lines of light elements are tabulated without an electron to emit them.
    lines = {name: line for name, line in found.items() if line and ENERGIES_KEV[0] <= line[0] <= ENERGIES_KEV[1]}
    strongest = max((rate for _, rate in lines.values()), default=0.0)
    return [
        [xraylib.AtomicNumberToSymbol(z), name, f"{energy:.4f}", f"{rate / strongest:.4f}"]
        for name, (energy, rate) in lines.items()
        if rate >= WEAKEST * strongest
    ]


def _line(z: int, name: str, excited: np.ndarray) -> tuple[float, float] | None:
    """Mean energy in keV and production of a line; None if the element has none."""
    energies, rates = [], []
    for transition in TRANSITIONS[name]:
        number = int(getattr(xraylib, f"{transition}_LINE"))
        try:
            energy = xraylib.LineEnergy(z, number)
        except ValueError:
            continue
        rate = float(xraylib_np.CS_FluorLine_Kissel_Cascade(np.array([z]), np.array([number]), excited)[0, 0, 0])
        if energy > 0 and rate > 0:
            energies.append(energy)
            rates.append(rate)
    return (float(np.average(energies, weights=rates)), sum(rates)) if rates else None


def main() -> None:
    """Make the table."""
    part = TABLE.with_name(TABLE.name + ".part")
    part.write_text(line_list())
    os.replace(part, TABLE)
    print(f"wrote {TABLE} ({TABLE.stat().st_size / 1024:.0f} kB)")


if __name__ == "__main__":
    main()
