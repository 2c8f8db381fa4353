"""MATLAB files up to version 7 (version 7.3 is HDF5). Scenes are stored (row, column, band)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.io

from deepspec.data.readers.stored import AXIS_NAMES, AxisCandidate, Stored, choose_key, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NUMERIC = {"double", "single", "logical", *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64))}


def open_matlab(path: Path, variable: str | None, dims: Sequence[int]) -> Stored:
    """Load one variable of a MATLAB file, and what may be its spectral axis.

    Raises:
        UserError: if the file is damaged or has no such variable.
    """
    with reading(path, "MATLAB"):
        shapes = {name: tuple(shape) for name, shape, kind in scipy.io.whosmat(path) if kind in _NUMERIC}
        chosen, notes = choose_key(path, shapes, variable, dims)
        axis_names = [name for name, s in shapes.items() if name.lower() in AXIS_NAMES and max(s) == np.prod(s)]
        content = scipy.io.loadmat(path, variable_names=[chosen, *axis_names])
        array = content[chosen]
    return Stored(
        arrays=[array],
        name=f"{path}:{chosen}",
        spectral_dim=array.ndim - 1 if array.ndim > 2 else None,
        axes=[AxisCandidate(n, np.asarray(content[n], dtype=np.float64).ravel(), None) for n in axis_names],
        notes=notes,
    )
