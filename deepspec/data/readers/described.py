"""What a file says of the dimensions of an array, and how names and axes are turned into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.data.readers.stored import AxisCandidate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NO_UNIT = (
    "",
    "<undefined>",
    "undefined",
    "none",
    "_none_",
    "t.traits.undefined",
    "1",
    "-",
    "n/a",
    "channel",
    "channels",
)


@dataclass
class Described:
    """An array whose dimensions the file describes.

    Attributes:
        array: what is described.
        spectral_dim: the spectral dimension, if said.
        detector_dim: that of the detectors, if said.
        image: dimensions of rows and columns, if both are said.
        axes: positions of the channels, if said.
    """

    array: Any
    spectral_dim: int | None = None
    detector_dim: int | None = None
    image: tuple[int, int] | None = None
    axes: list[AxisCandidate] = field(default_factory=list)


def place_image(described: Described, found: Sequence[str | None]) -> None:
    """Fill in rows, columns and detectors by the roles of all dimensions, as far as they are said."""
    rows = [dim for dim, role in enumerate(found) if role == "row"]
    columns = [dim for dim, role in enumerate(found) if role == "column"]
    detectors = [dim for dim, role in enumerate(found) if role == "detector"]
    dims = len(found)
    left = [dim for dim in range(dims) if dim != described.spectral_dim and dim not in detectors]
    if len(rows) == 1 and len(columns) == 1:
        described.image = (rows[0], columns[0])
    elif described.spectral_dim is not None and len(left) == 2 and len(rows) + len(columns) == 1:
        known = (rows or columns)[0]  # the other of the two is what is left
        other = left[1] if left[0] == known else left[0]
        described.image = (known, other) if rows else (other, known)
    if len(detectors) == 1 and dims > 3:
        described.detector_dim = detectors[0]


def text_of(value: Any) -> str:
    """The one text in the value of an attribute; empty if there is none."""
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def candidate(name: str, values: NDArray[np.float64], unit: str) -> AxisCandidate:
    """A stated axis; a unit that means none, and one that is unknown, is left to be guessed or to be said."""
    if "wave" in name.lower() and unit.strip() == "mm":  # Digital Surf; elsewhere millimetres are places
        return AxisCandidate(name, values * 1e3, "um", "stated")
    if unit.strip().lower() in _NO_UNIT:
        return AxisCandidate(name, values, None, "stated")
    return AxisCandidate(name, values, unit, "stated")
