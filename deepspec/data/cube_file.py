"""deepspec's own file for a cube: HDF5 that holds what a `SpectralCube` is, in blocks of whole image rows.

/img    (H, W, C), chunks of whole rows, each with a checksum, Blosc2 (lz4, bit shuffle)
/axis   (C,) float64, attribute `unit`
/mask   (H, W) bool, optional; with attribute `use` = "training" the pixels, all valid, that training may see
attributes: deepspec_cube = the version of this layout, and whatever is known of the measurement
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import hdf5plugin

from deepspec.data.hdf5_file import write_hdf5
from deepspec.errors import UserError
from deepspec.files import complete_or_absent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import h5py
    import numpy as np
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis

MARK = "deepspec_cube"
VERSION = 1
CHUNK_BYTES = 2**20
TRAINING = "training"


@contextmanager
def cube_file(
    path: Path,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    axis: SpectralAxis,
    blocks: Iterable[tuple[slice, NDArray[Any]]],
    metadata: Mapping[str, str | int | float],
) -> Iterator[h5py.File]:
    """Write a cube, and let more be added to the file before it gets its name.

    Args:
        path: name of the file; an existing one is replaced once the new one is complete.
        shape: (H, W, C).
        dtype: of the values.
        axis: positions of the C channels.
        blocks: rows of the image and their spectra (n, W, C), which together are the cube.
        metadata: attributes of the file.

    Yields:
        The open file.

    Raises:
        UserError: if the file cannot be written.
    """
    rows, columns, channels = shape
    height = min(rows, max(1, CHUNK_BYTES // (dtype.itemsize * columns * channels)))
    # HDF5 before 1.10 allowed 64 KiB for one attribute.
    with complete_or_absent(path) as part, _writing(path), write_hdf5(part, libver=("v110", "v110")) as file:
        file.attrs.update({**metadata, MARK: VERSION})
        file["axis"] = axis.values
        file["axis"].attrs["unit"] = axis.unit
        chunks = (height, columns, channels)
        image = file.create_dataset("img", shape, dtype, chunks=chunks, fletcher32=True, **compression())
        for block_rows, x_nWC in blocks:
            image[block_rows] = x_nWC
        yield file


def compression() -> Mapping[str, Any]:
    """Arguments of `create_dataset` that compress images and cubes."""
    return hdf5plugin.Blosc2(cname="lz4", filters=hdf5plugin.Blosc2.BITSHUFFLE)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {' '.join(str(error).split())}") from error
