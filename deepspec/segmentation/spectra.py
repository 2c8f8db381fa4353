"""The usable spectra of a cube, a piece at a time, read ahead and preprocessed.

Shapes: P pixels of the cube, N of a piece, C channels of the cube, D of the network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from deepspec.segmentation.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation.alignment import Alignment
    from deepspec.segmentation.model import SegmentationModel


PIECE_VALUES = 2**20
"""Largest number of channels times pixels worked on at once: 4 MiB of float32. C libraries give larger allocations
back to the system after each use, and fetching their pages anew costs as much as the arithmetic on them."""

SAMPLE_VALUES = 2**26
"""Most values of a sample of spectra: 256 MiB of float32."""

KEPT_BYTES = 2**28
"""Largest cube whose values are kept, as stored, from the first pass to the next ones: 256 MiB. It is then read and
unpacked once, and not three times."""

Result = TypeVar("Result")


class Piece(NamedTuple):
    """Some spectra of a cube."""

    pixels_N: Tensor
    """int64, which pixels, counted along the rows."""
    x_NC: Tensor
    """float32, raw."""
    total_N: Tensor
    """float32, sums of the raw spectra."""
    y_ND: Tensor
    """float32, preprocessed."""
    aligned_NC: Tensor
    """float32, raw, on the model's channels."""

    def only(self, chosen_N: Tensor) -> Piece:
        """Those of a boolean selection."""
        return Piece(*(tensor[chosen_N] for tensor in self))


class CubeSpectra:
    """Passes over the spectra of a cube, in bounded memory; a small cube (`KEPT_BYTES`) is read in the first one alone.

    Args:
        cube: where they come from.
        model: whose preprocessing they get.
        alignment: of the cube's channels to the model's.
        max_pixels: pixels read at once, at most (one row is read even if it is longer).
        device: where to put the spectra.
        threads: how many pieces are worked on at once.
        progress: called after each read with the name of the pass, the pixels done and all.
    """

    def __init__(
        self,
        cube: SpectralCube,
        model: SegmentationModel,
        alignment: Alignment,
        max_pixels: int,
        device: torch.device,
        threads: int,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self.cube, self.model, self.alignment = cube, model, alignment
        self.max_pixels, self.device, self.threads, self.progress = max_pixels, device, threads, progress
        self._kept: list[tuple[slice, NDArray[Any]]] | None = None

    def map(self, work: Callable[[Piece], Result], wanted_P: Tensor, name: str) -> Iterator[Result]:
        """Apply a function to the spectra of the wanted pixels, without dead ones, a piece at a time.

        Args:
            work: called in several threads at once; it must not change anything.
            wanted_P: (P,) bool, on `device`.
            name: of this pass, for `progress`.

        Yields:
            The results in the order of the pixels.
        """

        def apply(stored: tuple[int, Tensor]) -> Result | None:
            piece = self._piece(*stored, wanted_P)
            return None if piece is None else work(piece)

        # The pieces are read here while others are worked on there.
        for result in in_threads(apply, self._stored_pieces(name), self.threads):
            if result is not None:
                yield result

    def _stored_pieces(self, name: str) -> Iterator[tuple[int, Tensor]]:
        """Number of the first pixel and stored spectra of each piece."""
        rows, columns, channels = self.cube.shape
        most = max(1, PIECE_VALUES // max(channels, self.alignment.target.channels))
        for block, x_nWC in self._blocks():
            first = block.start * columns
            for stored_NC in torch.split(torch.from_numpy(x_nWC.reshape(-1, channels)), most):
                yield first, stored_NC
                first += len(stored_NC)
            if self.progress is not None:
                self.progress(name, first, rows * columns)

    def _blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Rows and values of the cube as stored, from the file in the first pass, and from memory where they fit."""
        if self._kept is not None:
            yield from self._kept
            return
        kept = []
        keep = math.prod(self.cube.shape) * self.cube.dtype.itemsize <= KEPT_BYTES
        for block in self.cube.blocks(self.max_pixels):
            if keep:
                kept.append(block)
            yield block
        if keep:
            self._kept = kept

    def _piece(self, first: int, stored_NC: Tensor, wanted_P: Tensor) -> Piece | None:
        x_NC = stored_NC.to(self.device).float()
        total_N = x_NC.sum(1)
        usable_N = wanted_P[first : first + len(x_NC)] & total_N.isfinite()
        nothing_N = usable_N & (total_N == 0)
        if nothing_N.any():  # positive and negative values may also add up to 0
            usable_N &= ~nothing_N | x_NC.any(1)
        pixels_N = usable_N.nonzero()[:, 0]
        if len(pixels_N) == 0:
            return None
        if len(pixels_N) < len(x_NC):
            x_NC, total_N = x_NC[pixels_N], total_N[pixels_N]
        aligned_NC = self.alignment.to_model(x_NC)
        return Piece(pixels_N + first, x_NC, total_N, self.model.preprocess(aligned_NC), aligned_NC)


class SpectraSample:
    """A uniform random sample of preprocessed spectra, drawn while they pass by.

    Every pixel has a random key and the spectra with the smallest keys are kept: the sample does not depend on the
    size of the blocks in which the cube is read.

    Args:
        pixels: number of pixels of the cube.
        size: most spectra kept.
        generator: CPU generator.
        device: where the spectra are.
    """

    def __init__(self, pixels: int, size: int, generator: torch.Generator, device: torch.device) -> None:
        self._size = size
        self.keys_P = torch.rand(pixels, generator=generator, dtype=torch.float64).to(device, torch.float32)
        """(P,) the random key of each pixel."""
        self.pixels_N = torch.empty(0, dtype=torch.int64, device=device)
        """Which pixels the spectra are of."""
        self._spectra: Tensor | None = None

    def add(self, pixels_N: Tensor, y_ND: Tensor) -> None:
        """Let spectra pass by."""
        if self._spectra is None:
            self._spectra = y_ND[:0]
        if len(self.pixels_N) == self._size:
            smaller = (self.keys_P[pixels_N] < self.keys_P[self.pixels_N].max()).nonzero()[:, 0]
            pixels_N, y_ND = pixels_N[smaller], y_ND[smaller]
        pixels_N = torch.cat([self.pixels_N, pixels_N])
        chosen = self.keys_P[pixels_N].argsort()[: self._size]
        self.pixels_N, self._spectra = pixels_N[chosen], torch.cat([self._spectra, y_ND])[chosen]

    @property
    def spectra_ND(self) -> Tensor:
        """The sample, in random order."""
        assert self._spectra is not None
        return self._spectra
