"""Nebular cubes: an image whose colours stand for classes becomes a MUSE-like cube with known ground truth.

Shapes: H rows, W columns, C channels, S sources (spectra without noise that pixels show), 4 classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy.ndimage import label as number_regions

from deepspec.errors import UserError
from deepspec.synthetic.mixture import colour_distance, pigment_weights
from deepspec.synthetic.nebula_image import CLASS_COLOURS, nearest_class
from deepspec.synthetic.nebular_models import CLASSES, NEBULAE
from deepspec.synthetic.nebular_spectra import NebularSpectra, Observation
from deepspec.synthetic.rgb_clusters import cluster_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis

    Array = NDArray[np.float64]

Variety = Literal["class", "region"]
_MEAN_ROWS = 6144  # spectra that the mean spectra of the classes are taken from
# Streams of random numbers, beside those of NebularSpectra.
_AMPLITUDE_STREAM, _NOISE_STREAM, _COLOUR_STREAM = 10, 11, 12


@dataclass(frozen=True)
class NebularCube:
    """A synthetic cube of nebulae and its ground truth.

    Attributes:
        data: (H, W, C) float32 flux with noise.
        clean: (H, W, C) float32 the same without noise.
        labels: (H, W) int16 class of each pixel, position in `CLASSES`; 0 is background.
        source: (H, W) int32 which of the S sources each pixel shows.
        spectra: (S, C) float32 spectrum of each source.
        weights: (S, 4) share of each class in each source.
        amplitude: (H, W) float32 brightness of each pixel.
        noise_sd: (C,) standard deviation of the noise in each channel.
        rgb: (H, W, 3) uint8, the image.
        axis: channel centres in angstrom.
    """

    data: NDArray[np.float32]
    clean: NDArray[np.float32]
    labels: NDArray[np.int16]
    source: NDArray[np.int32]
    spectra: NDArray[np.float32]
    weights: Array
    amplitude: NDArray[np.float32]
    noise_sd: Array
    rgb: NDArray[np.uint8]
    axis: SpectralAxis


def nebular_cube(
    rgb: NDArray[np.uint8],
    *,
    labels: NDArray[np.integer] | None = None,
    variety: Variety = "class",
    threshold: float | None = None,
    k_range: tuple[int, int] = (3, 10),
    snr: float = 46.0,
    amplitude: float = 0.3,
    observation: Observation | None = None,
    seed: int = 0,
) -> NebularCube:
    """Generate the cube of an image. The same arguments give the same cube, bit for bit.

    Every pixel is the spectrum of its source times a brightness, plus noise that is the same everywhere; the
    background is noise alone. Sources come from the models of the test split: training never sees them.

    Args:
        rgb: (H, W, 3) uint8 image: red HII regions, green planetary nebulae, blue shocks, black background.
        labels: (H, W) exact classes, 0 to 3; default the nearest of the four colours.
        variety: "class": all pixels of a class show its mean spectrum, as in the paper; "region": each connected
            region has a nebula of its own.
        threshold: None for pure classes. A number below 1 mixes classes by similarity of colour as ganX does: the
            image's colours are clustered and each cluster gets the classes that are at least so similar; the
            paper's 0.2 puts a third of shock into the HII regions, and nebulae into the background.
        k_range: fewest and most colour clusters, with a threshold.
        snr: height of the nebulae's H alpha, on average over the classes, over the noise of a pixel there.
        amplitude: spread of the brightness, standard deviation of its logarithm.
        observation: binning, velocities, reddening; its `snr` is not used.
        seed: seed of all random choices.

    Raises:
        UserError: for a value out of its range; the message names it.
    """
    _check(rgb, labels, variety, threshold, snr, amplitude, seed)
    own = nearest_class(rgb) if labels is None else labels.astype(np.int16)
    seen = observation or Observation()
    means, height = _class_means(seen, seed)
    if threshold is not None:
        source, weights = _colour_mixtures(rgb, threshold, k_range, seed)
        spectra = weights @ means
    elif variety == "region":
        source, spectra, weights = _regions(own, seen, seed)
    else:
        source, spectra, weights = own.astype(np.int32), means, np.eye(len(CLASSES))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_AMPLITUDE_STREAM,)))
    bright = np.exp(amplitude * rng.standard_normal(own.shape)).astype(np.float32)
    spectra_SC = spectra.astype(np.float32)
    clean = spectra_SC[source]
    clean *= bright[:, :, None]
    channels = NebularSpectra(0, "test", seen, seed=seed).channels
    sigma = height / snr
    data = clean.copy()
    for row in range(len(data)):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_NOISE_STREAM, row)))
        data[row] += np.float32(sigma) * channels.noise(stream, own.shape[1])
    return NebularCube(
        data, clean, own, source, spectra_SC, weights, bright, sigma * channels.noise_sd(), rgb, channels.axis
    )


def _check(
    rgb: NDArray[np.uint8],
    labels: NDArray[np.integer] | None,
    variety: str,
    threshold: float | None,
    snr: float,
    amplitude: float,
    seed: int,
) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise UserError(f"rgb: expected a uint8 array (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if labels is not None:
        if labels.shape != rgb.shape[:2] or labels.dtype.kind not in "iu":
            raise UserError(f"labels: expected integers {rgb.shape[:2]}, got {labels.dtype} {labels.shape}")
        if labels.min() < 0 or labels.max() >= len(CLASSES):
            raise UserError(f"labels {labels.min()} to {labels.max()}: expected 0 to 3, {', '.join(CLASSES)}")
    if variety not in get_args(Variety):
        raise UserError(f"variety={variety!r}: expected one of {', '.join(get_args(Variety))}")
    if threshold is not None and variety == "region":
        raise UserError("variety='region' has one pure class per region: leave threshold out")
    if not 0 < snr < float("inf"):
        raise UserError(f"snr={snr}: expected a positive number")
    if not 0 <= amplitude <= 3:
        raise UserError(f"amplitude={amplitude}: expected a spread from 0 to 3")
    if seed < 0:
        raise UserError(f"seed={seed}: expected 0 or more")


def _class_means(observation: Observation, seed: int) -> tuple[Array, float]:
    """(4, C) mean spectrum of each class, zero for the background, and the mean height of their H alpha in a pixel."""
    spectra = NebularSpectra(_MEAN_ROWS, "test", observation, seed=seed)
    means = np.zeros((len(CLASSES), spectra.channels.axis.channels))
    rows, heights = np.zeros(len(CLASSES)), 0.0
    for block in spectra.blocks(noise=False):
        for label in NEBULAE:
            means[label] += block.spectra[block.labels == label].sum(axis=0, dtype=np.float64)
        rows += np.bincount(block.labels, minlength=len(CLASSES))
        heights += block.height.sum()
    return means / np.maximum(rows, 1)[:, None], heights / rows.sum()


def _regions(
    labels_HW: NDArray[np.int16], observation: Observation, seed: int
) -> tuple[NDArray[np.int32], Array, Array]:
    """Number of each pixel's connected region, 0 for the background, with spectrum and class of each."""
    source = np.zeros(labels_HW.shape, dtype=np.int32)
    owner = [0]
    for label in NEBULAE:
        numbers, count = number_regions(labels_HW == label, structure=np.ones((3, 3)))
        source[numbers > 0] = numbers[numbers > 0] + len(owner) - 1
        owner += [label] * count
    # Mixtures of the three classes take turns, each seen once: region r of any class finds one of its own.
    once = NebularSpectra(3 * len(owner), "test", replace(observation, instances=(1, 1)), seed=seed)
    spectra = np.zeros((len(owner), once.channels.axis.channels))
    chosen = {3 * region + label - 1: region for region, label in enumerate(owner) if label}
    for block in once.blocks(noise=False):
        for place, row in enumerate(block.rows):
            if row in chosen:
                spectra[chosen[row]] = block.spectra[place]
    return source, spectra, np.eye(len(CLASSES))[owner]


def _colour_mixtures(
    rgb: NDArray[np.uint8], threshold: float, k_range: tuple[int, int], seed: int
) -> tuple[NDArray[np.int32], Array]:
    """Colour cluster of each pixel and the share of each class in it, by ganX's similarity."""
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_COLOUR_STREAM,)))
    clusters = cluster_colours(rgb, k_range, seed=int(stream.integers(2**31)))
    weights = pigment_weights(colour_distance(clusters.colours, CLASS_COLOURS), threshold=threshold)
    return clusters.labels.astype(np.int32), weights
