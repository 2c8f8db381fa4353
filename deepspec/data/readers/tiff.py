"""TIFF stacks: one page per channel, or all channels in each pixel. Mapped where not compressed."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tifffile

from deepspec.data.readers.file_numbers import map_raw
from deepspec.data.readers.stored import Stored, choose_key, reading
from deepspec.data.readers.tiff_tags import GdalBands, ome_axis
from deepspec.data.readers.unpacked import spooled_array
from deepspec.data.readers.values import physical
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_METADATA, _NODATA = 42112, 42113  # GDAL's tags
_LONG = 1000  # characters of a description that are kept


def open_tiff(path: Path, series: str | None, dims: Sequence[int]) -> Stored:
    """Open a stack of images.

    Args:
        path: the file.
        series: number of the stack in the file, from 0; default the largest.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if the file is damaged or cut short, or holds no such stack.
    """
    with reading(path, "TIFF"), _complaints() as complaints, tifffile.TiffFile(path) as file:
        stacks = {str(i): stack for i, stack in enumerate(file.series)}
        if complaints:  # the library goes on with the pages that it can read
            raise UserError(f"{path}: the TIFF file is damaged or cut short: {complaints[0]}")
        shapes = {name: tuple(stack.shape) for name, stack in stacks.items() if stack.dtype.kind in "iufb"}
        chosen, notes = choose_key(path, shapes, series, dims)
        stack = stacks[chosen]
        array = _array(path, file, stack)
        page = stack.keyframe
        names = stack.axes
        others = [d for d, name in enumerate(names) if name not in "YX"]
        spectral = others[0] if len(names) == 3 and len(others) == 1 else None
        tag = page.tags.get(_NODATA)
        missing = [] if tag is None else [float(str(tag.value).strip("\x00 "))]
        axes = []
        if spectral is not None and (tag := page.tags.get(_METADATA)) is not None and len(stack.pages) == 1:
            bands = GdalBands(str(tag.value), stack.shape[spectral])
            shape = [-1 if d == spectral else 1 for d in range(3)]
            scale, offset = (values.reshape(shape) for values in bands.scale_and_offset())
            array = physical(array, missing, scale=scale, offset=offset)
            if not ((scale == 1).all() and (offset == 0).all()):
                notes.append("its numbers are read with the scales and offsets of the bands, as the file says")
            axes = [axis for axis in [bands.axis()] if axis is not None]
        else:
            array = physical(array, missing)
        if spectral is not None and file.is_ome:
            axis = ome_axis(str(file.ome_metadata), int(chosen), stack.shape[spectral])
            axes = [] if axis is None else [axis]
        return Stored(
            arrays=[array],
            name=f"{path}:{chosen}" if len(stacks) > 1 else str(path),
            spectral_dim=spectral,
            axes=axes,
            metadata={"description": page.description[:_LONG]} if page.description else {},
            notes=notes,
        )


def _array(path: Path, file: tifffile.TiffFile, stack: tifffile.TiffPageSeries) -> Any:
    """The stack on disk; a compressed or scattered one is decoded once, page by page."""
    dtype = stack.dtype.newbyteorder(file.byteorder)
    if stack.dataoffset is not None:
        return map_raw(path, dtype, tuple(stack.shape), stack.dataoffset)
    _check_pages(path, stack)
    array = spooled_array(tuple(stack.shape), stack.dtype.newbyteorder("="), str(path))
    pages = array.reshape(len(stack.pages), *stack.keyframe.shape)
    for number, page in enumerate(stack.pages):
        if page is None:
            raise UserError(f"{path}: page {number} of the stack is missing")
        pages[number] = page.asarray(maxworkers=1)
    return array


def _check_pages(path: Path, stack: tifffile.TiffPageSeries) -> None:
    """Refuse a header that asks for more than the file can hold, before room is made for it.

    Deflate and its kin reach 1,032 to 1 at most.
    """
    size = math.prod(stack.shape) * stack.dtype.itemsize
    if size > 1032 * path.stat().st_size:
        raise UserError(f"{path}: damaged or cut short: {path.stat().st_size} bytes cannot hold shape {stack.shape}")
    if math.prod(stack.shape) != len(stack.pages) * math.prod(stack.keyframe.shape):
        raise UserError(f"{path}: damaged: {len(stack.pages)} pages for shape {stack.shape}")
    end = path.stat().st_size
    for page in stack.pages:
        if (
            page is not None
            and max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=False)), default=0) > end
        ):
            raise UserError(f"{path}: cut short: a page lies beyond the end of the file")


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What tifffile logs as an error meanwhile, instead of its printing it."""
    log = logging.getLogger("tifffile")
    found = _Collected()
    before, log.propagate = log.propagate, False
    log.addHandler(found)
    try:
        yield found.messages
    finally:
        log.removeHandler(found)
        log.propagate = before


class _Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
