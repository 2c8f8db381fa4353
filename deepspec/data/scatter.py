"""Leave out the channels where XRF scans show the tube's scattered lines rather than the elements of the sample.

C channels.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.pixels import dead_pixels
from deepspec.data.spectra_file import SpectraTable
from deepspec.lines.tube import ANODES, NO_TUBE, check_tube, tube_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.data.cube import SpectralCube

PIXELS = 2**14
"""Pixels of a cube, in bands of rows from top to bottom, in whose sum the tube is looked for."""

_BANDS = 32
_FEWEST_LEFT = 64
"""Fewer channels below the scattered lines than this are no spectrum of a scan, but a crop around these lines."""

_NAMES = {"rhodium": "Rh", "molybdenum": "Mo", "silver": "Ag", "palladium": "Pd", "tungsten": "W", "chromium": "Cr"}
_KEY = re.compile(r"(^|[^a-z])(anode|tube|target)([^a-z]|$)")


@dataclass(frozen=True)
class LeftOut:
    """The channels that were left out of cubes of one axis."""

    limit: int
    """The cubes keep the first so many channels."""
    channels: int
    """How many there were."""
    start_kev: float
    """Position in keV of the first channel left out."""

    @property
    def sentence(self) -> str:
        """What the user is told."""
        return (
            f"left out {self.channels - self.limit} of {self.channels} channels, those from {self.start_kev:.2f} keV "
            "on, where the tube's lines are scattered, which tell a sample's thickness and support rather than its "
            "elements; --channels all keeps them, --tube says what the anode is (none: there is no tube)"
        )


def leave_out_scatter(cubes: Sequence[SpectralCube], tube: str | None = None) -> LeftOut | None:
    """Let the channels of XRF scans end below the lines of the tube that the sample scatters.

    The anode is what the caller says, or else what the files' metadata say, or else looked for in the sum of the
    spectra (`tube_limit`), in each cube by itself; the lowest limit is that of all. Only cubes of integers over
    energies in keV on the axis of the first are looked at and shortened, so that cubes to be rebinned onto the first
    one's axis are brought onto the shortened one. Tables of spectra without an image stay as they are.

    Args:
        cubes: open; those on the axis of the first are changed.
        tube: anode, one of `deepspec.lines.tube.ANODES`, `none` where there is no tube, None if it is not known.

    Returns:
        What was left out; None, with all cubes unchanged, where no tube is known or found, where its K lines lie beyond
        the axis or among those of the sample, and where fewer than 64 channels would be left.

    Raises:
        UserError: an unknown anode, or a cube that cannot be read.
    """
    check_tube(tube)
    axis = cubes[0].axis
    if axis.unit != "keV" or tube == NO_TUBE or not (np.diff(axis.values) > 0).all():
        return None
    same = [cube for cube in cubes if axis.matches(cube.axis)]
    if any(isinstance(cube, SpectraTable) or cube.dtype.kind not in "iu" for cube in same):
        return None
    found = [
        limit for cube in same if (limit := tube_limit(axis, _sum(cube), tube or tube_of(cube.metadata))) is not None
    ]
    if not found or not _FEWEST_LEFT <= min(found) < axis.channels:
        return None
    limit = min(found)
    for cube in same:
        keep_first(cube, limit)
    return LeftOut(limit, axis.channels, float(axis.values[limit]))


def keep_first(cube: SpectralCube, limit: int) -> None:
    """Leave out all channels of an open cube but the first `limit`."""
    stored = np.arange(cube.axis.channels) if cube.channels is None else cube.channels
    cube.channels = stored[:limit].astype(np.int64)
    cube.axis = cube.axis.slice(0, limit)


def tube_of(metadata: Mapping[str, str | int | float]) -> str | None:
    """The anode that a file names, in an entry whose name has the word anode, tube or target; None if none does.

    >>> tube_of({"instrument/tube_anode": "Rh (50 kV)"})
    'Rh'
    """
    for key, value in metadata.items():
        if not isinstance(value, str) or not _KEY.search(key.lower()):
            continue
        for word in re.findall(r"[A-Za-z]+", value):
            symbol: str = _NAMES.get(word.lower(), word)
            if symbol in ANODES:
                return symbol
    return None


def begins_with(whole: SpectralAxis, axis: SpectralAxis) -> bool:
    """Whether an axis is the first channels of one that has more."""
    return whole.channels > axis.channels and axis.matches(whole.slice(0, axis.channels))


def first_channels(cube: SpectralCube, axis: SpectralAxis) -> SpectralCube:
    """The first channels of a cube, where the axis of a model is theirs, as that of a cube whose scatter was left out.

    Args:
        cube: open; it stays as it is.
        axis: of the model.

    Returns:
        A cube of the same file and mask with the channels of `axis`; the same cube where its axis does not begin so.
    """
    if axis.unit == "channel" or not begins_with(cube.axis, axis):
        return cube
    part = copy.copy(cube)
    keep_first(part, axis.channels)
    return part


def _sum(cube: SpectralCube) -> NDArray[np.float64]:
    """(C,) sum of the living, valid spectra of some bands of rows spread over the cube, as far as they are finite."""
    rows, columns, channels = cube.shape
    chunks = getattr(cube.arrays[0], "chunks", None)
    least = chunks[cube.layout.row] if chunks else 1
    height = max(least, PIXELS // (_BANDS * columns), 1)
    starts = range(0, rows, height)
    wanted = max(1, PIXELS // (height * columns))
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(wanted, len(starts))).round().astype(int))
    total = np.zeros(channels)
    for place in chosen:
        start = starts[place]
        stop = min(start + height, rows)
        x_nWC = cube.read_rows(start, stop)
        total += x_nWC[cube.mask[start:stop] & ~dead_pixels(x_nWC)].sum(axis=0, dtype=np.float64)
    return total
