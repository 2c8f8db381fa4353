"""The usable spectra of a cube, a piece at a time, read ahead and preprocessed; and what is kept of them as they pass.

`PixelRecord` keeps numbers of every pixel, `ClusterMeans` the mean spectra of clusters, and `PixelSample` the spectra
of some pixels, for figures that show single ones.

Shapes: P pixels of the cube, N of a piece, M of the sample, C channels of the cube, D of the network and its decoder, K
clusters, L latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch

from deepspec.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation.alignment import Alignment
    from deepspec.segmentation.model import SegmentationModel


SPECTRA = 96
"""Most spectra that are kept: a row of a figure for each."""


@dataclass(frozen=True, eq=False)
class PixelSample:
    """A uniform random sample of the labelled pixels, in the order of the image."""

    pixels: NDArray[np.int64]
    """(M,) which, counted along the rows of the image."""
    input: NDArray[np.float32]
    """(M, D) preprocessed spectra, undone as far as that can be, like `Segmentation.mean_input`."""
    reconstructed: NDArray[np.float32]
    """(M, D) what the decoder makes of their latent points."""


def draw_sample(record: PixelRecord, some: SpectraSample, model: SegmentationModel) -> PixelSample:
    """Take some of the spectra that were kept while the cube was read.

    Args:
        record: the latent points of all pixels.
        some: those spectra.
        model: to decode.
    """
    pixels_M, order = some.pixels_N[:SPECTRA].sort()
    return PixelSample(
        pixels=pixels_M.cpu().numpy(),
        input=model.preprocess.inverse(some.spectra_ND[:SPECTRA][order]).float().cpu().numpy(),
        reconstructed=model.decode(record.z_PL[pixels_M]).float().cpu().numpy(),
    )


class PixelRecord:
    """Numbers of each pixel; NaN for the pixels that are not used."""

    def __init__(self, pixels: int, latent: int, device: torch.device) -> None:
        self.z_PL = torch.full((pixels, latent), torch.nan, device=device)
        self.total_raw_P = torch.full((pixels,), torch.nan, device=device)
        self.total_reconstructed_P = torch.full((pixels,), torch.nan, device=device)

    @property
    def usable_P(self) -> Tensor:
        """(P,) bool, the pixels with a latent point."""
        return self.z_PL.isfinite().all(1)

    @property
    def usable_latents(self) -> Tensor:
        """Those points, finite."""
        return self.z_PL[self.usable_P]


class PieceSums(NamedTuple):
    """What one piece of the cube adds."""

    pixels_N: Tensor
    """int64, which pixels."""
    total_N: Tensor
    """float32, sums of the decoded spectra."""
    sizes_K: Tensor
    """int64, pixels."""
    raw_KC: Tensor
    """float64, sum of the raw spectra of each cluster."""
    input_KD: Tensor
    """float64, of the preprocessed spectra, undone as far as that can be."""
    decoded_KD: Tensor
    """float32, of the decoded spectra."""


class ClusterMeans:
    """Mean raw, preprocessed and decoded spectra of each cluster.

    A piece is summed by a matrix product with its membership: counts of 2e9 would be off by 2e-6 in single precision.

    Args:
        spectra: what passes; its model decodes, and undoes the preprocessing.
        k: number of clusters.
        record: where to put the sum of each pixel's decoded spectrum.
    """

    def __init__(self, spectra: CubeSpectra, k: int, record: PixelRecord) -> None:
        self._model, self._record = spectra.model, record
        channels, decoded = spectra.cube.shape[2], spectra.model.preprocess.channels_decoded
        self.sizes_K = torch.zeros(k, dtype=torch.int64, device=spectra.device)
        self._raw_KC = torch.zeros(k, channels, dtype=torch.float64, device=spectra.device)
        self._input_KD = torch.zeros(k, decoded, dtype=torch.float64, device=spectra.device)
        self._decoded_KD = torch.zeros(k, decoded, dtype=torch.float64, device=spectra.device)

    def sums(self, piece: Piece, z_NL: Tensor, labels_N: Tensor) -> PieceSums:
        """Sum spectra by their labels; those below 0 count nowhere."""
        member_KN = (labels_N == torch.arange(len(self.sizes_K), device=labels_N.device)[:, None]).float()
        decoded_ND = self._model.decode(z_NL)
        return PieceSums(
            pixels_N=piece.pixels_N,
            total_N=decoded_ND.sum(1),
            sizes_K=member_KN.sum(1).long(),
            raw_KC=member_KN.double() @ piece.x_NC.double(),
            input_KD=member_KN.double() @ self._model.preprocess.inverse(piece.y_ND).double(),
            decoded_KD=member_KN @ decoded_ND,
        )

    def add(self, sums: PieceSums) -> None:
        """Add a piece."""
        self._record.total_reconstructed_P[sums.pixels_N] = sums.total_N
        self.sizes_K += sums.sizes_K
        self._raw_KC += sums.raw_KC
        self._input_KD += sums.input_KD
        self._decoded_KD += sums.decoded_KD

    @property
    def raw(self) -> NDArray[np.float64]:
        """(K, C) mean raw spectra; NaN for an empty cluster, like the next two."""
        return self._mean(self._raw_KC)

    @property
    def input(self) -> NDArray[np.float64]:
        """(K, D) mean preprocessed spectra, undone as far as that can be (equation 9)."""
        return self._mean(self._input_KD)

    @property
    def reconstructed(self) -> NDArray[np.float64]:
        """(K, D) mean decoded spectra (equation 8)."""
        return self._mean(self._decoded_KD)

    def joined(self, parents: list[int], k: int) -> Means:
        """The means of clusters that these are the parts of.

        Args:
            parents: the cluster of each part.
            k: number of clusters.
        """
        to_K = torch.tensor(parents, device=self.sizes_K.device)

        def sums(parts: Tensor) -> NDArray[np.float64]:
            shape = (k, *parts.shape[1:])
            found: NDArray[np.float64] = parts.new_zeros(shape).index_add_(0, to_K, parts).cpu().numpy()
            return found

        sizes = sums(self.sizes_K)
        with np.errstate(invalid="ignore"):
            raw, input_, decoded = (
                sums(parts) / sizes[:, None] for parts in (self._raw_KC, self._input_KD, self._decoded_KD)
            )
        return Means(sizes.astype(np.int64), raw, input_, decoded)

    def _mean(self, sums: Tensor) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = (sums / self.sizes_K[:, None]).cpu().numpy()
        return mean


class Means(NamedTuple):
    """Mean spectra of clusters."""

    sizes: NDArray[np.int64]
    """(K,) pixels."""
    raw: NDArray[np.float64]
    """(K, C), NaN for an empty cluster, like the next two."""
    input: NDArray[np.float64]
    """(K, D)."""
    reconstructed: NDArray[np.float64]
    """(K, D)."""


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
