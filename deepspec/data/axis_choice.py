"""Choose the spectral axis of a cube: what the user says, else what lies beside the cube, else channel numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.axis import SpectralAxis, find_unit, normalise_unit
from deepspec.data.calibration import calibrate
from deepspec.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.data.readers.stored import AxisCandidate, Stored


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
        return SpectralAxis.parse(wanted, channels), None
    fitting = [c for c in stored.axes if c.values.size == channels and np.isfinite(c.values).all()]
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
        return SpectralAxis.linear(0, 1, channels, "channel"), None
    candidate = fitting[0]
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
    if np.array_equal(candidate.values, np.arange(candidate.values.size)):
        return "channel"
    largest = float(np.abs(candidate.values).max())
    if "energ" in candidate.name.lower():
        unit = "eV" if largest > 200 else "keV"
    else:
        unit = "um" if largest < 30 else "nm" if largest < 3000 else "angstrom"
    notes.append(f"took '{candidate.name}' as the spectral axis in {unit}; choose the unit with --axis UNIT")
    return unit
