"""SpectralCube: an image with a spectrum in every pixel, read by rows from wherever it lies.

Shapes: H rows, W columns, C channels, D detectors, n rows of a block.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.axis_choice import choose_axis
from deepspec.data.cube_file import compression, cube_file
from deepspec.data.layout import Layout, WithoutDims, dims_to_drop, guess_layout, unfold
from deepspec.data.pixels import FiniteChannels, SparseChannels, dead_pixels, parse_channels, read_mask
from deepspec.data.readers import open_stored
from deepspec.data.readers.stored import Stored, reading
from deepspec.data.readers.unpacked import unpacked_once
from deepspec.errors import UserError, described
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import ErrorKind, StoredArray

_BLOCK_BYTES = 64 * 2**20


@dataclass(eq=False, repr=False)
class SpectralCube:
    """An (H, W, C) cube that stays in its file until rows are asked for.

    Made by `read_cube` or `SpectralCube.from_array`. Use it as a context manager, or call `close`.

    Attributes:
        arrays: what is stored: one array, or one per detector, of one shape.
        layout: which stored dimension is which.
        axis: positions of the C channels.
        mask: (H, W) bool, True = the pixel may be used. Dead spectra are not looked for when a cube is opened;
            `find_dead` finds them.
        metadata: what the file says of the measurement.
        path: where it came from, None for an array in memory.
        detector: the detector to read, or "sum" over all.
        channels: stored channel number of each channel, None = all in their order.
        errors: what the file gives for the uncertainty of each value, in the shape of one array; see `read_errors`.
        errors_are: what these numbers are.
        stored_axis: positions of all stored channels as the file itself gives them, whatever the user chose; None if
            it is not known.
    """

    arrays: Sequence[StoredArray]
    layout: Layout
    axis: SpectralAxis
    mask: NDArray[np.bool_]
    metadata: dict[str, str | int | float] = field(default_factory=dict)
    path: Path | None = None
    detector: int | Literal["sum"] = "sum"
    channels: NDArray[np.int64] | None = None
    close_file: Callable[[], None] | None = None
    errors: StoredArray | None = None
    errors_are: ErrorKind = "deviation"
    stored_axis: SpectralAxis | None = None

    @classmethod
    def from_array(
        cls,
        array_HWC: NDArray[Any],
        axis: SpectralAxis | None = None,
        mask: NDArray[Any] | None = None,
    ) -> SpectralCube:
        """Cube over an array in memory, which is not copied.

        Args:
            array_HWC: (H, W, C) numbers.
            axis: default channel numbers.
            mask: (H, W), nonzero = valid; default all.

        Raises:
            UserError: if the array is not 3-D and numeric, or the axis or mask does not fit it.
        """
        if array_HWC.ndim != 3 or min(array_HWC.shape) == 0 or array_HWC.dtype.kind not in "iufb":
            raise UserError(
                f"expected numbers of shape (rows, columns, channels), got {array_HWC.dtype} {array_HWC.shape}"
            )
        rows, columns, channels = array_HWC.shape
        axis = axis if axis is not None else SpectralAxis.linear(0, 1, channels, "channel")
        if axis.channels != channels:
            raise UserError(f"the axis has {axis.channels} channels, the array has {channels}")
        valid = np.ones((rows, columns), bool) if mask is None else read_mask(mask, (rows, columns))
        return cls([array_HWC], Layout(0, 1, 2), axis, valid)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C): rows, columns, channels."""
        rows, columns = self.mask.shape
        return rows, columns, self.axis.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that `read_rows` returns; wider than the stored one when detectors are summed."""
        chosen = self.arrays if self.detector == "sum" or len(self.arrays) == 1 else [self.arrays[self.detector]]
        types = [np.dtype(array.dtype).newbyteorder("=") for array in chosen]
        stored = np.result_type(*types)
        summed = self.detector == "sum" and (self.layout.detector is not None or len(self.arrays) > 1)
        if not summed or any(kind.kind == "f" for kind in types):
            return stored
        if stored.kind == "f":
            raise UserError(
                f"{self.path or 'the cube'}: no integer holds the sum of detectors of types "
                f"{', '.join(sorted({kind.name for kind in types}))}; choose one with detector=NUMBER"
            )
        kind = "i" if stored.kind == "i" else "u"
        return np.dtype(f"{kind}8" if stored.itemsize > 2 else f"{kind}4")

    def read_rows(self, start: int, stop: int) -> NDArray[Any]:
        """Read image rows `start` to `stop` (not included) and nothing else.

        Returns:
            (stop - start, W, C) of `dtype`, as stored: counts stay counts, NaN stays NaN.

        Raises:
            UserError: if the rows do not exist or the file is damaged there.
        """
        if not 0 <= start <= stop <= self.shape[0]:
            raise UserError(f"rows {start}:{stop} of a cube with {self.shape[0]} rows")
        arrays = self.arrays
        if len(arrays) > 1 and self.detector != "sum":
            arrays = [arrays[self.detector]]
        with reading(self.path or "the cube", f"rows {start}:{stop}"):
            x_nWC = self._read(arrays[0], start, stop)
            for array in arrays[1:]:
                x_nWC += self._read(array, start, stop)
        return x_nWC

    def read_errors(self, start: int, stop: int) -> NDArray[np.floating[Any]] | None:
        """Standard deviations of the values of rows `start` to `stop`, from the file's ERR, STAT, IVAR and the like.

        Returns:
            (stop - start, W, C), infinite where the inverse variance is zero; None if the file gives none.

        Raises:
            UserError: if the rows do not exist or the file is damaged there.
        """
        if self.errors is None:
            return None
        if not 0 <= start <= stop <= self.shape[0]:
            raise UserError(f"rows {start}:{stop} of a cube with {self.shape[0]} rows")
        with reading(self.path or "the cube", f"uncertainties of rows {start}:{stop}"):
            stored = self._part(self.errors, start, stop)
        x = stored.astype(np.result_type(stored.dtype.newbyteorder("="), np.float32))
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.errors_are == "deviation":
                x = x**2
            elif self.errors_are == "inverse variance":
                x = np.where(x > 0, 1 / x, np.inf)
            if self.layout.detector is not None:
                x = x.sum(axis=2)
            deviations = np.sqrt(x)
        return np.ascontiguousarray(deviations if self.channels is None else deviations[..., self.channels])

    def _read(self, array: StoredArray, start: int, stop: int) -> NDArray[Any]:
        block = self._part(array, start, stop)
        if self.layout.detector is not None:
            block = block.sum(axis=2, dtype=self.dtype)
        if self.channels is not None:
            block = block[..., self.channels]
        # A copy, so that neither a memory map nor another byte order leaves this function.
        return np.array(block, dtype=self.dtype, order="C")

    def _part(self, array: StoredArray, start: int, stop: int) -> NDArray[Any]:
        """Rows of a stored array as (row, column, [detector,] channel), all channels, of the chosen detector alone."""
        layout = self.layout
        index = [slice(None)] * len(array.shape)
        index[layout.row] = slice(start, stop)
        if layout.detector is not None and self.detector != "sum":
            index[layout.detector] = slice(self.detector, self.detector + 1)
        return np.asarray(array[tuple(index)]).transpose(layout.order)

    def blocks(self, max_pixels: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Read the cube from top to bottom in blocks of whole image rows.

        Args:
            max_pixels: pixels in a block at most; one row is read even if it is longer. Blocks end at the borders
                of the file's chunks where this leaves at least one row.

        Yields:
            The rows as a slice, and their spectra (n, W, C).
        """
        rows, columns, _ = self.shape
        height = max(1, max_pixels // columns)
        chunks = getattr(self.arrays[0], "chunks", None)
        if chunks and height >= chunks[self.layout.row]:
            height -= height % chunks[self.layout.row]
        for start in range(0, rows, height):
            stop = min(start + height, rows)
            yield slice(start, stop), self.read_rows(start, stop)

    @property
    def block_pixels(self) -> int:
        """Pixels whose spectra take 64 MiB: a `max_pixels` that suits any number of channels."""
        return max(1, _BLOCK_BYTES // (self.axis.channels * self.dtype.itemsize))

    def find_dead(self) -> NDArray[np.bool_]:
        """Read the cube once and find the pixels without a usable spectrum.

        A spectrum is dead if all its channels are zero or any is NaN or infinite. `mask` is left as it is; write
        `cube.mask &= ~cube.find_dead()` to leave dead pixels out.

        Returns:
            (H, W) bool, True = dead.

        Raises:
            UserError: if every valid pixel is dead; it names the channels to leave out when they are the cause.
        """
        dead = np.zeros(self.mask.shape, dtype=bool)
        finite = FiniteChannels(self.axis.channels)
        for rows, x_nWC in self.blocks(self.block_pixels):
            dead[rows] = dead_pixels(x_nWC)
            finite.add(x_nWC, dead[rows])
        if (dead | ~self.mask).all():
            raise UserError(f"{self.path or 'the cube'}: no pixel has a usable spectrum{finite.explain()}")
        return dead

    def save(self, path: str | Path) -> None:
        """Write the cube as deepspec's own HDF5 file, a block of rows at a time; `read_cube` gives the same back.

        Data, axis, mask and metadata are kept, the choice of detector and channels is carried out.

        Args:
            path: name of the file, which appears when it is complete; an existing one is replaced.

        Raises:
            UserError: if the cube cannot be read or the file not be written.
        """
        blocks = self.blocks(self.block_pixels)
        with cube_file(Path(path), self.shape, self.dtype, self.axis, blocks, self.metadata) as file:
            file.create_dataset("mask", data=self.mask, **compression())

    def close(self) -> None:
        """Release the file."""
        if self.close_file is not None:
            self.close_file()

    def __repr__(self) -> str:
        rows, columns, channels = self.shape
        try:
            kind = self.dtype.name
        except UserError:  # detectors that no type can hold the sum of
            kind = ", ".join(sorted({np.dtype(array.dtype).name for array in self.arrays}))
        detectors = len(self.arrays)
        if self.layout.detector is not None:
            detectors = self.arrays[0].shape[self.layout.detector]
        chosen = "the sum of them" if self.detector == "sum" else f"number {self.detector}"
        return "\n".join(
            [
                f"SpectralCube of {rows} x {columns} pixels and {channels} channels, {kind}",
                f"  axis: {self.axis}",
                f"  mask: {np.count_nonzero(self.mask)} of {self.mask.size} pixels may be used",
                *([f"  detectors: {detectors}, {chosen}"] if detectors > 1 else []),
                f"  source: {self.path or 'an array in memory'}",
            ]
        )

    def __enter__(self) -> SpectralCube:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_cube(
    path: str | Path,
    *,
    dataset: str | None = None,
    spectral_dim: int | None = None,
    spatial_shape: tuple[int, int] | None = None,
    order: Literal["C", "F"] = "C",
    detector: int | Literal["sum"] = "sum",
    detector_dim: int | None = None,
    channels: str | None = None,
    axis: str | SpectralAxis | None = None,
    calibrate: str | None = None,
    mask: str | Path | NDArray[Any] | None = None,
    training: bool = False,
) -> SpectralCube:
    """Open a cube of any supported format, which is found from the file's content; docs/files.md lists them.

    What is guessed is printed to standard error, with the argument that overrides it. For a file with one row per
    spectrum, such as Jasper Ridge's `Y` (198, 10000) with pixels counted along the columns, give
    `spatial_shape=(100, 100), order="F"`: the same as `Y.reshape(198, 100, 100).transpose(2, 1, 0)`.

    Args:
        path: the file; of a header and a file of bare numbers (ENVI, RPL) either.
        dataset: name of the array in the file (HDF5 path, NPZ key, MATLAB variable, FITS extension, number of a TIFF
            stack); for HDF5 also a group whose 3-D datasets are the detectors. Default: the one with a usual name,
            else the largest.
        spectral_dim: which dimension of the stored array is the spectral one, counted from 0; negative from the end.
        spatial_shape: rows and columns of the image, for data with a single pixel dimension.
        order: order of the pixels in such data: "C" along the rows, "F" along the columns.
        detector: number of the detector to read, or "sum".
        detector_dim: which dimension of a 4-D stored array holds the detectors.
        channels: ranges of channels to keep, such as "0:107,113:153", or "all"; default all but those that the file
            marks as bad and those that are NaN in more than a fifth of the pixels.
        axis: the spectral axis, or `FIRST:LAST:UNIT`, `FILE:UNIT` or `channel` as `SpectralAxis.parse` takes it, or
            the bare unit of the axis found in the file. It describes all channels, before `channels` selects.
        calibrate: instead of `axis`, two or more X-ray lines and the channels where their peaks lie, such as
            `Fe-Ka=641,Cu-Ka=806`: the axis in keV is the straight line that fits them best.
        mask: (H, W) array, or an image `FILE` or `FILE:KEY`: nonzero = valid.
        training: whether to leave out the pixels that the file keeps from training (`synthesize --keep`).

    Raises:
        UserError: if the file cannot be read as asked; the message says how to go on.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(
            f"read_cube: expected the path of a file, got {described(path)}: SpectralCube.from_array makes a cube of "
            "an array (rows, columns, channels)"
        )
    path = Path(path)
    dims = (3, 4) if spatial_shape is None else (2, 3)
    stored = open_stored(path, dataset, dims)
    try:
        layout = _lay_out(stored, spectral_dim, detector_dim, spatial_shape, order)
        shape = stored.arrays[0].shape
        chosen_axis, permutation = choose_axis(stored, axis, shape[layout.spectral], calibrate)
        own_axis = chosen_axis if axis is None and calibrate is None else _own_axis(stored, shape[layout.spectral])
        kept = _kept_channels(stored, channels, chosen_axis.channels, permutation)
        if kept is not None:
            permutation = kept if permutation is None else permutation[kept]
            chosen_axis = SpectralAxis(chosen_axis.values[kept], chosen_axis.unit)
        valid = _valid_pixels(stored, (shape[layout.row], shape[layout.column]), mask, training)
        if detector == "sum" and stored.default_detector is not None and layout.detector is not None:
            detector = stored.default_detector
        _check_detector(stored, layout, detector)
    except BaseException:
        stored.close()
        raise
    cube = SpectralCube(
        stored.arrays,
        layout,
        chosen_axis,
        valid,
        stored.metadata,
        path,
        detector,
        permutation,
        stored.close,
        stored.errors,
        stored.errors_are,
        own_axis,
    )
    try:
        if channels is None and not stored.whole and cube.dtype.kind == "f":
            leave_out_sparse_channels(cube, stored.notes)
    except BaseException:
        stored.close()
        raise
    for said in stored.notes:
        note(f"{stored.name}: {said}")
    return cube


def _own_axis(stored: Stored, channels: int) -> SpectralAxis | None:
    """The axis that the file itself gives, of whatever use it is."""
    try:
        return choose_axis(replace(stored, notes=[]), None, channels)[0]
    except UserError:
        return None


def leave_out_sparse_channels(cube: SpectralCube, notes: list[str]) -> None:
    """Leave out channels without a value in many pixels, which would otherwise cost these pixels.

    A cube of up to 64 MiB is looked at as a whole, of a larger one five rows.
    """
    rows, _, channels = cube.shape
    found = SparseChannels(channels)
    if cube.mask.size <= cube.block_pixels:
        looked_at = [(0, rows)]
    else:
        looked_at = [(row, row + 1) for row in sorted({(2 * i + 1) * rows // 10 for i in range(5)})]
    for start, stop in looked_at:
        found.add(cube.read_rows(start, stop), cube.mask[start:stop])
    sparse_C = found.sparse()
    if not sparse_C.any():
        return
    kept = np.flatnonzero(~sparse_C)
    notes.append(
        f"left out {np.count_nonzero(sparse_C)} of {channels} channels, which are NaN or infinite in many pixels: "
        f"{found.explain()}; --channels 0:{cube.arrays[0].shape[cube.layout.spectral]} keeps them"
    )
    cube.axis = SpectralAxis(cube.axis.values[kept], cube.axis.unit)
    cube.channels = kept if cube.channels is None else cube.channels[kept]


def _lay_out(
    stored: Stored,
    spectral_dim: int | None,
    detector_dim: int | None,
    spatial_shape: tuple[int, int] | None,
    order: Literal["C", "F"],
) -> Layout:
    """Tell the dimensions apart; changes the stored arrays where dimensions are dropped or unfolded."""
    dims = len(stored.arrays[0].shape)
    told = [None if d is None else d + dims if -dims <= d < 0 else d for d in (spectral_dim, detector_dim)]
    stated = [
        told[0] if told[0] is not None or stored.spectral_dim == told[1] else stored.spectral_dim,
        told[1] if told[1] is not None or stored.detector_dim == told[0] else stored.detector_dim,
    ]
    if spatial_shape is None and stored.spatial_shape is not None:
        spatial_shape, order = stored.spatial_shape, stored.order
        stored.notes.append(
            f"took its {spatial_shape[0]} rows and {spatial_shape[1]} columns from the file; "
            "choose with --spatial_shape ROWS COLUMNS and --order C|F"
        )
    pixels = stored.image if spatial_shape is None else None
    kept = {d for d in (*stated, *(pixels or ())) if d is not None}
    dropped = dims_to_drop(tuple(stored.arrays[0].shape), 3 if spatial_shape is None else 2, kept)
    if dropped:
        views = (stored.arrays, [] if stored.errors is None else [stored.errors])
        stored.arrays, errors = ([WithoutDims(array, dropped) for array in arrays] for arrays in views)
        stored.errors = errors[0] if errors else None
        move = {d: d - sum(gone < d for gone in dropped) for d in range(dims)}
        stated = [d if d is None else move.get(d, d) for d in stated]
        pixels = None if pixels is None else (move[pixels[0]], move[pixels[1]])
    if spatial_shape is not None:
        given = stated[0] if told[0] is not None else None
        stored.arrays, folded = unfold(stored.arrays, spatial_shape, order, given, stored.name)
        if stored.errors is not None:
            (stored.errors,), _ = unfold([stored.errors], spatial_shape, order, given, stored.name)
        stated = [d if d is None or d == folded else d + (d > folded) for d in (given, stated[1])]
        pixels = (folded, folded + 1) if order == "C" else (folded + 1, folded)
    if stated[0] is not None and stated[1] is None and pixels is not None and len(stored.arrays[0].shape) == 4:
        stated[1] = next((d for d in range(4) if d not in (stated[0], *pixels)), None)
    layout, notes = guess_layout(
        stored.arrays[0].shape,
        stored.name,
        pixels=pixels if stated[0] is None or pixels is None or stated[0] not in pixels else None,
        spectral_dim=stated[0],
        detector_dim=stated[1],
        rows_last=stored.rows_last,
        axis_lengths={c.values.size for c in stored.axes if c.origin != "far"},
        far_axes={c.name: c.values.size for c in stored.axes if c.origin == "far"},
    )
    stored.notes += notes
    if spatial_shape is None:
        stored.arrays = [unpacked_once(array, layout.row, stored.name) for array in stored.arrays]
    return layout


def _kept_channels(
    stored: Stored, chosen: str | None, channels: int, permutation: NDArray[np.int64] | None
) -> NDArray[np.int64] | None:
    """Places along the axis of the channels to keep; None if that is all of them."""
    if chosen is not None:
        return parse_channels(chosen, channels)
    if stored.bad_channels is None or not stored.bad_channels.any():
        return None
    bad_C = stored.bad_channels if permutation is None else stored.bad_channels[permutation]
    if bad_C.all():
        raise UserError(f"{stored.name}: the file marks every channel as bad; --channels 0:{channels} takes them all")
    stored.notes.append(
        f"left out {np.count_nonzero(bad_C)} of {channels} channels, which the file marks as bad; "
        f"--channels 0:{channels} keeps them"
    )
    return np.flatnonzero(~bad_C)


def _valid_pixels(
    stored: Stored, shape: tuple[int, int], mask: str | Path | NDArray[Any] | None, training: bool
) -> NDArray[np.bool_]:
    """(H, W) pixels that no mask leaves out: neither the file's, nor the user's, nor that for training if wanted."""
    valid = np.ones(shape, bool)
    for given in (stored.mask, stored.training if training else None):
        if given is not None:
            try:
                valid &= read_mask(given, shape)
            except UserError as error:
                raise UserError(f"{stored.name}: the mask in the file cannot be used: {error}") from error
    return valid if mask is None else valid & read_mask(mask, shape)


def _check_detector(stored: Stored, layout: Layout, detector: int | Literal["sum"]) -> None:
    if detector == "sum":
        return
    count = len(stored.arrays) if layout.detector is None else stored.arrays[0].shape[layout.detector]
    if not 0 <= detector < count or (count == 1 and layout.detector is None):
        found = f"there are {count}, counted from 0" if count > 1 else "there is one"
        raise UserError(f"{stored.name}: no detector {detector}: {found}; leave detector out to sum")
