"""Cubes of any number of files, of which few are open at a time: a process may open a few hundred files, as a rule."""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube
    from deepspec.data.readers.stored import StoredArray

    Opener = Callable[[], Sequence[SpectralCube]]

LIMIT = 16
"""Files that stay open; opening one more closes the one that was not read for longest."""


class FewOpenFiles:
    """Opens cubes, and opens them again when they are read after they had to be closed.

    A compressed array is decompressed again then. Use it as a context manager; at its end all files are closed.
    """

    def __init__(self) -> None:
        self._openers: list[Opener] = []
        self._open: OrderedDict[int, list[tuple[Sequence[StoredArray], Callable[[], None] | None]]] = OrderedDict()

    def take(self, opener: Opener) -> Sequence[SpectralCube]:
        """The cubes of a file, which need not be closed.

        Args:
            opener: opens them.
        """
        number = len(self._openers)
        self._openers.append(opener)
        cubes = opener()
        self._keep(number, cubes)
        for place, cube in enumerate(cubes):
            cube.arrays = [_Later(self, number, place, i, array) for i, array in enumerate(cube.arrays)]
            cube.close_file = None
        return cubes

    def arrays(self, number: int, place: int) -> Sequence[StoredArray]:
        """The arrays of a cube, open."""
        if number not in self._open:
            with contextlib.redirect_stderr(io.StringIO()):  # what was guessed has been said
                self._keep(number, self._openers[number]())
        self._open.move_to_end(number)
        return self._open[number][place][0]

    def _keep(self, number: int, cubes: Sequence[SpectralCube]) -> None:
        self._open[number] = [(cube.arrays, cube.close_file) for cube in cubes]
        while len(self._open) > LIMIT:
            self._close(next(iter(self._open)))

    def _close(self, number: int) -> None:
        for _, close in self._open.pop(number):
            if close is not None:
                close()

    def __enter__(self) -> FewOpenFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        for number in list(self._open):
            self._close(number)


class _Later:
    """An array of a file that may be closed meanwhile."""

    def __init__(self, files: FewOpenFiles, number: int, place: int, which: int, array: StoredArray) -> None:
        self._files, self._where, self._which = files, (number, place), which
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.chunks = getattr(array, "chunks", None)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        return self._files.arrays(*self._where)[self._which][index]
