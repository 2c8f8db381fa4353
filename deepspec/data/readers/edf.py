"""EDF, the format of the ESRF: text headers in braces, each followed by the numbers of a frame.

A file of one frame is a line of a scan (pixels, channels), or the image of a channel; several such files in a folder,
or several frames in a file, are a cube. The layout is that which FabIO and PyMca write.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepspec.data.readers.file_numbers import FileNumbers
from deepspec.data.readers.stored import AxisCandidate, Stored, check_dims, reading
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_TYPES = {
    "unsignedbyte": "u1", "unsigned8": "u1", "signedbyte": "i1", "signed8": "i1",
    "unsignedshort": "u2", "unsigned16": "u2", "signedshort": "i2", "signed16": "i2",
    "unsignedinteger": "u4", "unsignedlong": "u4", "unsigned32": "u4", "uint32": "u4",
    "signedinteger": "i4", "signedlong": "i4", "signed32": "i4",
    "unsigned64": "u8", "unsignedlonglong": "u8", "signed64": "i8", "signedlonglong": "i8",
    "float": "f4", "floatvalue": "f4", "real": "f4", "floatieee32": "f4", "float32": "f4",
    "double": "f8", "doublevalue": "f8", "doubleieee64": "f8", "float64": "f8",
}  # fmt: skip
_XIA = re.compile(
    r"^(?P<prefix>.+)_xia(?P<detector>\d\d|S\d|st)_(?P<scan>\d{4,})_\d{4}_(?P<line>\d{4,})\.edf$", re.IGNORECASE
)
_BLOCK, _LONGEST = 4096, 2**20  # bytes of a header that are read at once, and at most


class Frame(NamedTuple):
    """One frame: where its numbers lie, and the fields of its header in lower case."""

    numbers: FileNumbers
    fields: dict[str, str]


class Frames:
    """Frames of one shape, one after the other, as an array with one dimension more."""

    def __init__(self, frames: Sequence[FileNumbers]) -> None:
        self._frames = list(frames)
        self.shape = (len(self._frames), *self._frames[0].shape)
        self.dtype = self._frames[0].dtype

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        inner = tuple(index[1:])
        parts = [frame[inner] for frame in self._frames[index[0]]]
        if parts:
            return np.stack(parts)
        return np.empty((0, *self._frames[0][inner].shape), self.dtype)


def open_edf_file(path: Path, dims: Sequence[int]) -> Stored:
    """Open the frames of one file as a cube; arguments and errors as for `open_edf`."""
    return open_edf([path], path, dims)


def open_edf_folder(paths: Sequence[Path], folder: Path, dims: Sequence[int]) -> Stored:
    """Open the files of a folder as a cube, with a detector for each that the ESRF's names for XIA electronics tell.

    PREFIX_xia00_0001_0000_0007.edf is line 7 of scan 1 as detector 0 saw it. In the place of the number xiaS0 is the
    electronics' own sum of the detectors, which is taken if it is there, and xiast are dead times and no spectra.

    Args:
        paths: the files, in the order of their names.
        folder: which they lie in.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: as for `open_edf`; or the files are of several scans, or a detector lacks lines.
    """
    named = [_XIA.match(path.name) for path in paths]
    if not all(named):
        return open_edf(paths, folder, dims)
    lines: dict[str, dict[int, Path]] = {}
    scans = {(found["prefix"], found["scan"]) for found in named if found}
    if len(scans) > 1:
        listed = ", ".join(sorted(f"{prefix} {scan}" for prefix, scan in scans)[:8])
        raise UserError(f"{folder}: {len(scans)} scans in one folder ({listed}): put each into a folder of its own")
    for path, found in zip(paths, named, strict=True):
        if found and found["detector"].lower() != "st":
            lines.setdefault(found["detector"].upper(), {})[int(found["line"])] = path
    if not lines:
        raise UserError(f"{folder}: only statistics (xiast), no spectra")
    sums = [detector for detector in lines if detector.startswith("S")]
    taken = sums[:1] or sorted(lines)
    for detector in taken:
        if lines[detector].keys() != lines[taken[0]].keys():
            raise UserError(
                f"{folder}: detector {detector} has {len(lines[detector])} lines, {taken[0]} {len(lines[taken[0]])}"
            )
    each = [open_edf([lines[d][line] for line in sorted(lines[d])], folder, dims) for d in taken]
    first = each[0]
    first.arrays = [stored.arrays[0] for stored in each]
    if len({stored.arrays[0].shape for stored in each}) > 1:
        raise UserError(f"{folder}: detectors of one scan are expected to be alike, found shapes that differ")
    if len(each) > 1:
        first.notes.append(
            f"took {', '.join(f'xia{d}' for d in taken)} as {len(each)} detectors; choose with --detector"
        )
    elif len(lines) > 1:
        first.notes.append(f"took xia{taken[0]}, the sum of the detectors that the electronics wrote")
    return first


def open_edf(paths: Sequence[Path], name: Path, dims: Sequence[int]) -> Stored:
    """Open the frames of one or more files as one cube.

    Args:
        paths: the files, in the order of the scan.
        name: the file, or the folder of the files, for messages.
        dims: numbers of dimensions that a cube may have.

    Raises:
        UserError: if a file is damaged or cut short, or the frames differ in shape or type.
    """
    frames = []
    for path in paths:
        with reading(path, "EDF"):
            frames += read_frames(path)
    first = frames[0].numbers
    for path_frame in frames:
        other = path_frame.numbers
        if (other.shape, other.dtype) != (first.shape, first.dtype):
            raise UserError(
                f"{name}: frames of one scan are expected to be alike, found {first.dtype.name} {first.shape} "
                f"and {other.dtype.name} {other.shape}"
            )
    array: Any = first if len(frames) == 1 else Frames([frame.numbers for frame in frames])
    check_dims(name, name.name, array.shape, dims)
    axis = _axis(frames[0].fields, array.shape)
    return Stored(
        arrays=[array],
        name=str(name),
        spectral_dim=None if axis is None else len(array.shape) - 1,
        axes=[] if axis is None else [axis],
        metadata={k: v for k, v in frames[0].fields.items() if k in ("title", "date", "counter_mne", "motor_mne")},
        notes=[f"took {len(paths)} files as one cube, in the order of their names"] if len(paths) > 1 else [],
    )


def read_frames(path: Path) -> list[Frame]:
    """The frames of a file, whose numbers are not read yet.

    Raises:
        UserError: if a header is damaged or a frame goes beyond the end of the file.
    """
    frames = []
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start < size:
            file.seek(start)
            head = file.read(_BLOCK)
            while b"}" not in head and len(head) < _LONGEST and (more := file.read(_BLOCK)):
                head += more
            if not head.strip(b"\0 \r\n"):
                break
            end = head.find(b"}")
            if not head.lstrip(b"\r\n ").startswith(b"{") or end < 0:
                raise UserError(f"{path}: damaged: at byte {start} the header of a frame is expected, in braces")
            # The header ends at a multiple of 512 bytes, with the closing brace and a line feed.
            after = end + 1
            after += 1 if head[after : after + 1] == b"\n" else 2 if head[after : after + 2] == b"\r\n" else 0
            text = head[:end].decode("latin-1")
            fields = _fields(text)
            numbers, length = _numbers(path, fields, start + after)
            frames.append(Frame(numbers, fields))
            start += after + length
    if not frames:
        raise UserError(f"{path}: there is no frame in it")
    return frames


def _fields(text: str) -> dict[str, str]:
    """Fields of a header, their names in lower case: lines `NAME = VALUE ;`."""
    pairs = (line.partition("=") for line in re.split(r"[;\n]", text.lstrip().removeprefix("{")))
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def _numbers(path: Path, fields: dict[str, str], offset: int) -> tuple[FileNumbers, int]:
    kind = _TYPES.get(fields.get("datatype", "").lower().replace("_", ""))
    order = {"lowbytefirst": "<", "highbytefirst": ">"}.get(fields.get("byteorder", "lowbytefirst").lower())
    lengths = [int(fields[f"dim_{i}"]) for i in range(1, 8) if f"dim_{i}" in fields]
    if kind is None or order is None or not lengths or min(lengths) < 1:
        raise UserError(
            f"{path}: damaged EDF header: DataType '{fields.get('datatype', '')}', ByteOrder "
            f"'{fields.get('byteorder', '')}', dimensions {lengths}"
        )
    if fields.get("compression", "none").lower() not in ("none", "nocompression", ""):
        raise UserError(f"{path}: EDF with compression '{fields['compression']}' is not read: write it without")
    dtype = np.dtype(f"{order}{kind}")
    length = math.prod(lengths) * dtype.itemsize
    if offset + length > path.stat().st_size:
        raise UserError(
            f"{path}: cut short: a frame of {lengths} {dtype.name} ends at byte {offset + length}, "
            f"the file has {path.stat().st_size}"
        )
    return FileNumbers(path, dtype, lengths[::-1], offset), max(length, int(fields.get("size", length)))


def _axis(fields: dict[str, str], shape: tuple[int, ...]) -> AxisCandidate | None:
    """PyMca's calibration of the last dimension: a + b i + c i^2 in keV."""
    try:
        a, b, c = (float(fields.get(f"mca {name}", "nan" if name == "b" else "0")) for name in "abc")
        first = float(fields.get("mca start ch", "0"))
    except ValueError:
        return None
    if not np.isfinite([a, b, c]).all() or b == 0:
        return None
    i = first + np.arange(shape[-1], dtype=np.float64)
    return AxisCandidate("energy", a + b * i + c * i**2, "keV", "stated")
