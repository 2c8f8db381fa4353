"""map_lines: element maps of an energy axis, maps of emission lines of wavelengths, whichever the cube has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import deepspec
from deepspec.data.fingerprint import HASHED_BYTES, sha256_of, size_of
from deepspec.errors import UserError
from deepspec.line_maps.elements import map_elements
from deepspec.line_maps.emission import map_emission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube
    from deepspec.line_maps.result import LineMaps
    from deepspec.lines.label import LineOptions


def map_lines(
    cube: SpectralCube,
    elements: str | Sequence[str] | None = None,
    *,
    lines: str | Sequence[str] | None = None,
    redshift: tuple[float, float] = (0.0, 0.0),
    width: float = 500.0,
    options: LineOptions | None = None,
    parts: NDArray[np.integer] | None = None,
    signed: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> LineMaps:
    """Maps of what the lines of a cube tell, with a record of what they were made from.

    Args:
        cube: an open cube with energies (`map_elements`) or wavelengths (`map_emission`).
        elements: of X-rays, as in "Fe,Pb-L"; default those found.
        lines: of gas, as in "Hα,[OIII]5007"; default those found.
        redshift: lowest and highest redshift at which emission lines are looked for.
        width: half-width of the window of an emission line in km/s.
        options: what else is known about the measurement.
        parts: (H, W) numbers from 0, -1 for none, in whose mean spectra lines are looked for; default tiles of the
            image.
        signed: let the amounts of elements be negative.
        progress: called with the name of the pass, the pixels done and all.

    Raises:
        UserError: as `map_elements` and `map_emission`; or elements are asked for of wavelengths, lines of energies.
    """
    name = cube.path or "the cube"
    if lines is not None and cube.axis.unit == "keV":
        raise UserError(f"{name}: --lines names emission lines of wavelengths, and it has {cube.axis}: give --elements")
    if elements is None and cube.axis.unit not in ("keV", "channel"):
        found = map_emission(
            cube, lines, redshift=redshift, width=width, options=options, parts=parts, progress=progress
        )
    else:
        found = map_elements(cube, elements, options=options, parts=parts, signed=signed, progress=progress)
    sha256 = ""
    if cube.path is not None and size_of(cube.path) <= HASHED_BYTES:
        sha256 = sha256_of(cube.path)
    origin = {
        "cube": "" if cube.path is None else str(cube.path.absolute()),
        "cube_sha256": sha256,
        "deepspec": deepspec.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "axis": str(cube.axis),
    }
    return replace(found, origin=origin | found.origin)
