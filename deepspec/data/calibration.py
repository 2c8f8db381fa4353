"""Energy calibration from two emission lines that the user recognised in a spectrum."""

from __future__ import annotations

import difflib
import math
import re

from deepspec.data.axis import SpectralAxis
from deepspec.errors import UserError

_EXAMPLE = "expected two lines with their channels, as in Fe-Ka=641,Cu-Ka=806"


def calibrate(text: str, channels: int) -> SpectralAxis:
    """Axis in keV through two named X-ray lines.

    Args:
        text: `ELEMENT-LINE=CHANNEL,ELEMENT-LINE=CHANNEL` as in `Fe-Ka=641,Cu-Ka=806.5`; lines as `line_energy` takes
            them, channels counted from 0, with fractions if need be.
        channels: number of channels C.

    Raises:
        UserError: if the text has another form, a line is unknown, or the two do not give a rising axis.

    >>> print(calibrate("Fe-Ka=641,Cu-Ka=806", 1024))
    1024 channels, 0.0223519 to 10.1999 keV
    """
    found = re.fullmatch(r"\s*([^=,]+)=([^=,]+),([^=,]+)=([^=,]+)", text)
    try:
        places = [float(part) for part in (found.group(2), found.group(4))] if found else []
    except ValueError:
        places = []
    if found is None or not places or not all(map(math.isfinite, places)):
        raise UserError(f"calibrate '{text}': {_EXAMPLE}")
    energies = [line_energy(found.group(i).strip()) for i in (1, 3)]
    said = f"calibrate '{text}': the lines lie at {energies[0]:.4g} and {energies[1]:.4g} keV"
    if places[0] == places[1] or energies[0] == energies[1]:
        raise UserError(f"{said} in channels {places[0]:g} and {places[1]:g}: two different lines are needed")
    step = (energies[1] - energies[0]) / (places[1] - places[0])
    if step < 0:
        raise UserError(f"{said}, but the channels fall from {places[0]:g} to {places[1]:g}: are they swapped?")
    return SpectralAxis.linear(energies[0] - step * places[0], step, channels, "keV")


def line_energy(name: str) -> float:
    """Energy of an X-ray emission line in keV.

    Args:
        name: chemical symbol and line in Siegbahn's notation, in any case: `Fe-Ka1` one line, `Fe-Ka` where a
            silicon detector shows the peak of the lines that begin so (Ka1, Ka2): their mean, weighted with their
            intensities, as far as it cannot tell them apart. The names of peaks mean the same.

    Raises:
        UserError: naming the nearest lines that there are.

    >>> round(line_energy("Fe-Ka"), 3), round(line_energy("pb-la1"), 3)
    (6.4, 10.551)
    """
    # Only now: the package of lines imports this one.
    from deepspec.lines.families import seen_energy
    from deepspec.lines.xray_table import lines_of

    lines = lines_of()
    element, _, line = (part.strip().lower() for part in name.partition("-"))
    symbols = {symbol.lower(): symbol for symbol in lines}
    if element not in symbols:
        near = difflib.get_close_matches(element, symbols, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(symbols[n] for n in near)}?" if near else "C to U have lines"
        raise UserError(f"line '{name}': no element '{name.partition('-')[0]}' with X-ray lines: {hint}")
    own = lines[symbols[element]]
    exact = [found for found in own if found.name.lower() == line]
    family = exact or [found for found in own if line and re.fullmatch(re.escape(line) + r"\d+", found.name.lower())]
    if not family:
        there = sorted({found.group for found in own} | {found.name for found in own})
        raise UserError(f"line '{name}': {symbols[element]} has no such line, it has {', '.join(there)}")
    return seen_energy(family)
