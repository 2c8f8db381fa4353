"""Choose the spectral axis of a cube: what the user says, else what lies beside the cube, else channel numbers.

The user may give the axis itself, or emission lines that were recognised in a spectrum, from which it is calibrated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from deepspec.axis import SpectralAxis, find_unit, normalise_unit
from deepspec.data.arrays import read_array
from deepspec.data.readers.stored import is_counting
from deepspec.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.readers.stored import AxisCandidate, Stored


def read_axis(text: str, channels: int) -> SpectralAxis:
    """Axis of `channels` channels from a short text or a file.

    Args:
        text: what `SpectralAxis.parse` takes; or `FILE:UNIT`, a text, NPY or keyed file (`FILE:KEY:UNIT`) with one
            value per channel.
        channels: number of channels, at least 1.

    Raises:
        UserError: if the text has another form, or the file another number of values.
    """
    file, _, unit = text.rpartition(":")
    if not file or (file.count(":") == 1 and all(_is_number(part) for part in file.split(":"))):
        return SpectralAxis.parse(text, channels)
    normalise_unit(unit)
    values = read_array(file, "the spectral axis").squeeze()
    if values.shape != (channels,):
        raise UserError(f"axis {file}: expected {channels} values, one per channel, found shape {values.shape}")
    return SpectralAxis(values, unit)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_LEAST_NM = 300
_EXAMPLE = "expected two lines with their channels, as in Fe-Ka=641,Cu-Ka=806, or more of them"


def calibrate(text: str, channels: int, notes: list[str] | None = None) -> SpectralAxis:
    """Axis in keV through named X-ray lines: the straight line with the least squared distances in energy.

    Args:
        text: `ELEMENT-LINE=CHANNEL,ELEMENT-LINE=CHANNEL` and more as in `Fe-Ka=641,Cu-Ka=806.5`; lines as `line_energy`
            takes them, channels counted from 0, with fractions if need be.
        channels: number of channels C.
        notes: gets a line with the distance of each line from the axis, where there are more than two.

    Raises:
        UserError: if the text has another form, a line is unknown, or they do not give a rising axis.

    >>> print(calibrate("Fe-Ka=641,Cu-Ka=806", 1024))
    1024 channels, 0.0223519 to 10.1999 keV
    """
    pairs = [re.fullmatch(r"\s*([^=,]+?)\s*=\s*([^=,]+?)\s*", part) for part in text.split(",")]
    try:
        places = np.array([float(pair.group(2)) for pair in pairs if pair])
    except ValueError:
        places = np.empty(0)
    if not all(pairs) or len(places) < 2 or len(places) != len(pairs) or not np.isfinite(places).all():
        raise UserError(f"calibrate '{text}': {_EXAMPLE}")
    names = [pair.group(1) for pair in pairs if pair]
    energies = np.array([line_energy(name) for name in names])
    listed = ", ".join(f"{energy:.4g}" for energy in energies[:-1])
    said = f"calibrate '{text}': the lines lie at {listed} and {energies[-1]:.4g} keV"
    if np.unique(places).size < 2 or np.unique(energies).size < 2:
        where = f"{', '.join(f'{p:g}' for p in places[:-1])} and {places[-1]:g}"
        raise UserError(f"{said} in channels {where}: two different lines are needed")
    middle = places.mean()
    step = float(((places - middle) * energies).sum() / ((places - middle) ** 2).sum())
    if step <= 0:
        order = "swapped" if len(places) == 2 else "mixed up"
        raise UserError(f"{said}, but the channels fall from {places[0]:g} to {places[-1]:g}: are they {order}?")
    first = float(energies.mean() - step * middle)
    if len(places) > 2 and notes is not None:
        apart = energies - (first + step * places)
        listed = ", ".join(f"{name} {1000 * e:+.1f} eV" for name, e in zip(names, apart, strict=True))
        notes.append(
            f"calibrated by least squares: {1000 * step:.4g} eV per channel, channel 0 at {1000 * first:.4g} eV; "
            f"distances of the lines: {listed}"
        )
    return SpectralAxis.linear(first, step, channels, "keV")


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
    from deepspec.lines.xray_lines import lines_of, seen_energy

    lines = lines_of()
    element, _, line = (part.strip().lower() for part in name.partition("-"))
    symbols = {symbol.lower(): symbol for symbol in lines}
    if element not in symbols:
        hint = did_you_mean(element, lines, otherwise=": C to U have lines", most=3)
        raise UserError(f"line '{name}': no element '{name.partition('-')[0]}' with X-ray lines{hint}")
    own = lines[symbols[element]]
    exact = [found for found in own if found.name.lower() == line]
    family = exact or [found for found in own if line and re.fullmatch(re.escape(line) + r"\d+", found.name.lower())]
    if not family:
        there = sorted({found.group for found in own} | {found.name for found in own})
        raise UserError(f"line '{name}': {symbols[element]} has no such line, it has {', '.join(there)}")
    return seen_energy(family)


def choose_axis(
    stored: Stored, wanted: str | SpectralAxis | None, channels: int, lines: str | None = None
) -> tuple[SpectralAxis, NDArray[np.int64] | None]:
    """The axis of a stored cube, and the order to put its channels in.

    Spectrometers with overlapping parts (AVIRIS) list wavelengths that step back at each joint: channels are
    then put in the order of their wavelength.

    Args:
        stored: what the reader found; guesses are added to its notes.
        wanted: the user's choice, see `read_cube`.
        channels: stored number of channels C.
        lines: emission lines with their channels, which take the place of `wanted`; see `calibrate`.

    Returns:
        The axis, and (C,) stored channel numbers in its order, None if that is the stored order.

    Raises:
        UserError: if the choice has another number of channels or is not understood.
    """
    if lines is not None:
        if wanted is not None:
            raise UserError("the axis is either given or calibrated from lines: leave out one of axis and calibrate")
        return calibrate(lines, channels, stored.notes), None
    if isinstance(wanted, SpectralAxis):
        if wanted.channels != channels:
            raise UserError(f"{stored.name}: the axis has {wanted.channels} channels, the cube has {channels}")
        return wanted, None
    if wanted is not None and (wanted == "channel" or ":" in wanted):
        return read_axis(wanted, channels), None
    fitting = [
        c for c in stored.axes if c.values.size == channels and np.isfinite(c.values).all() and not _are_numbers(c)
    ]
    stated = [c for c in stored.axes if c.origin == "stated"]
    if stated and not any(c.origin == "stated" for c in fitting):
        wrong = stated[0]
        problem = (
            "some of which are no numbers" if wrong.values.size == channels else f"the cube has {channels} channels"
        )
        raise UserError(
            f"{stored.name}: the file gives {wrong.values.size} positions in '{wrong.name}', {problem}: "
            "give the right ones with --axis FIRST:LAST:UNIT or FILE:UNIT, or count the channels with --axis channel"
        )
    if not fitting:
        if wanted is not None:
            raise UserError(
                f"{stored.name}: axis '{wanted}' names a unit, but the file holds no axis with {channels} values; "
                "give FIRST:LAST:UNIT or FILE:UNIT"
            )
        if beside := [c for c in stored.axes if c.origin == "near" and c.values.size not in (1, channels)]:
            stored.notes.append(
                f"the file gives {beside[0].values.size} positions in '{beside[0].name}', the cube has {channels} "
                "channels, which are counted; give the right ones with --axis FIRST:LAST:UNIT or FILE:UNIT"
            )
        return SpectralAxis.linear(0, 1, channels, "channel"), None
    candidate = fitting[0]
    if candidate.unit is None and is_counting(candidate.values):  # a dimension that is only numbered
        candidate = next((c for c in fitting if c.origin != "far" and not is_counting(c.values)), candidate)
    if candidate.origin == "far" and wanted is None:
        stored.notes.append(
            f"took '{candidate.name}' as the spectral axis, as it has as many values; choose with --axis"
        )
    unit = wanted or candidate.unit
    if unit is None:
        unit = _guess_unit(candidate, stored.notes)
    elif wanted is None and find_unit(unit) is None:
        stored.notes.append(
            f"the file gives its channels in '{unit}', which is not understood: channels are counted; "
            "say what they are with --axis UNIT"
        )
        return SpectralAxis.linear(0, 1, channels, "channel"), None
    try:
        return _in_order(candidate, unit, stored.notes)
    except UserError as error:
        raise UserError(
            f"{stored.name}: '{candidate.name}' cannot be the spectral axis: {error}; give another with --axis"
        ) from error


def _are_numbers(candidate: AxisCandidate) -> bool:
    """Whether `bands` are numbers of bands rather than wavelengths: whole, and below any wavelength in nm."""
    values = candidate.values
    if candidate.unit is not None or candidate.name.rpartition("/")[2].lower() != "bands" or not values.size:
        return False
    return bool((values == np.floor(values)).all() and values.max() < _LEAST_NM)


def _in_order(candidate: AxisCandidate, unit: str, notes: list[str]) -> tuple[SpectralAxis, NDArray[np.int64] | None]:
    normalise_unit(unit)
    try:
        return SpectralAxis(candidate.values, unit), None
    except UserError:
        order = np.argsort(candidate.values, kind="stable")
        axis = SpectralAxis(candidate.values[order], unit)  # raises if two channels share a position
        notes.append(f"'{candidate.name}' steps back: channels were put in the order of their position")
        return axis, order


def _guess_unit(candidate: AxisCandidate, notes: list[str]) -> str:
    """Unit of positions given as bare numbers, from their name and size."""
    if is_counting(candidate.values):
        return "channel"
    largest = float(np.abs(candidate.values).max())
    if "energ" in candidate.name.lower():
        unit = "eV" if largest > 200 else "keV"
    elif re.search(r"wave_?number|raman", candidate.name.lower()):
        unit = "1/cm"
    else:
        unit = "um" if largest < 30 else "nm" if largest < 3000 else "angstrom"
    notes.append(f"took '{candidate.name}' as the spectral axis in {unit}; choose the unit with --axis UNIT")
    return unit
