"""NPY (memory-mapped) and NPZ (the chosen array is loaded)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy_format

from deepspec.data.readers.stored import AXIS_NAMES, AxisCandidate, Stored, check_dims, choose_key, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def open_npy(path: Path, dims: Sequence[int]) -> Stored:
    """Memory-map a NPY file.

    Raises:
        UserError: if the file is cut short, holds Python objects, or has another number of dimensions.
    """
    with reading(path, "NPY"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    check_dims(path, path.name, array.shape, dims)
    return Stored(arrays=[array], name=str(path))


def open_npz(path: Path, key: str | None, dims: Sequence[int]) -> Stored:
    """Load one array of a NPZ file, and what may be its spectral axis.

    Raises:
        UserError: if the file is damaged or has no such array.
    """
    # Opened here because np.load leaves the file open when the archive is damaged.
    with reading(path, "NPZ"), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        shapes = npz_shapes(archive)
        chosen, notes = choose_key(path, shapes, key, dims)
        axes = [
            AxisCandidate(name, np.asarray(archive[name], dtype=np.float64).ravel(), None)
            for name, shape in shapes.items()
            if name.lower() in AXIS_NAMES and shape and max(shape) == np.prod(shape)
        ]
        return Stored(arrays=[archive[chosen]], name=f"{path}:{chosen}", axes=axes, notes=notes)


def npz_shapes(archive: np.lib.npyio.NpzFile) -> dict[str, tuple[int, ...]]:
    """Shape of each numeric array of an open NPZ file, read from the headers without loading the arrays."""
    shapes = {}
    assert archive.zip is not None  # it is only after the archive was closed
    for name in archive.files:
        with archive.zip.open(name if name in archive.zip.namelist() else f"{name}.npy") as member:
            if npy_format.read_magic(member) == (1, 0):
                shape, _, dtype = npy_format.read_array_header_1_0(member)
            else:
                shape, _, dtype = npy_format.read_array_header_2_0(member)
        if dtype.kind in "iufb":
            shapes[name] = shape
    return shapes
