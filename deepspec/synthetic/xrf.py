"""Synthetic MA-XRF scans: an image becomes a datacube of photon counts with known ground truth.

The image is split into its main colours, each colour into the pigments of a palette that look like it, and the
pigments' spectra, mixed, are the law that the photons of each pixel are drawn from (A. Bombini, ganX, 2023).

Shapes: H rows, W columns, C channels, K colour clusters, P pigments, N pixels, S sources of photons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from deepspec.errors import UserError
from deepspec.synthetic.mixture import Weighting, colour_distance, pigment_weights
from deepspec.synthetic.photons import sample_counts
from deepspec.synthetic.pigments import load_pigments
from deepspec.synthetic.rgb_clusters import ColourSpace, cluster_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.synthetic.pigments import PigmentTable

Counts = Literal["poisson", "fixed", "absolute"]
Mode = Literal["clusters", "pixels"]
MAX_RATE = 60_000  # mean counts of a channel: 20 standard deviations below the end of uint16


@dataclass(frozen=True)
class SyntheticScan:
    """A synthetic MA-XRF scan and its ground truth.

    Attributes:
        counts: (H, W, C) uint16 photons.
        labels: (H, W) int16 colour cluster of each pixel, 0 to K - 1.
        weights: (K, P) share of each pigment in each cluster; rows sum to 1.
        pigments: P names.
        rgb: (H, W, 3) uint8, the image.
        axis: channel centres in keV.
        rates: (K, C) mean counts that a pixel of each cluster has in each channel.
        colours: (K, 3) mean sRGB of each cluster in [0, 1].
        scores: silhouette of each K tried in colour space; empty if K was given.
        fwhm_ev: detector resolution at Mn Ka in eV.
        pixel_weights: (H, W, P) float32 share of each pigment in each pixel; None in mode "clusters".
    """

    counts: NDArray[np.uint16]
    labels: NDArray[np.int16]
    weights: NDArray[np.float64]
    pigments: tuple[str, ...]
    rgb: NDArray[np.uint8]
    axis: SpectralAxis
    rates: NDArray[np.float64]
    colours: NDArray[np.float64]
    scores: dict[int, float]
    fwhm_ev: float
    pixel_weights: NDArray[np.float32] | None


def xrf_cube(
    rgb: NDArray[np.uint8],
    *,
    palette: int | Sequence[str] = 1,
    channels: int = 512,
    counts: Counts = "poisson",
    mean_counts: float = 400.0,
    threshold: float = 0.6,
    weighting: Weighting = "linear",
    top_k: int | None = None,
    k_range: tuple[int, int] = (3, 10),
    colour_space: ColourSpace = "rgb",
    mode: Mode = "clusters",
    fwhm_ev: tuple[float, float] = (130.0, 150.0),
    vary_parchment: bool = True,
    seed: int = 0,
) -> SyntheticScan:
    """Generate the scan of an image. The same arguments give the same scan, bit for bit.

    Args:
        rgb: (H, W, 3) uint8 image.
        palette: number of a historical palette, 1 to 7, or names of pigments.
        channels: 512 or 1024 over 0.5 to 38.5 keV.
        counts: "poisson", a fixed time per pixel: totals vary around the mean; "fixed", exactly `mean_counts` in
            every pixel, as ganX draws; "absolute", Poisson with the pigments' own brightness, which differs up to
            eight times, scaled to `mean_counts` over the image.
        mean_counts: photons per pixel.
        threshold: least similarity of colour, 0 to 1, that a pigment must have to enter a mixture; see
            `pigment_weights`.
        weighting: how colour similarity becomes shares, see `pigment_weights`.
        top_k: most pigments in a mixture; default no limit.
        k_range: fewest and most colour clusters.
        colour_space: space in which colours are clustered.
        mode: "clusters": all pixels of a cluster share the mixture of its mean colour, as in the paper;
            "pixels": each pixel has the mixture of its own colour.
        fwhm_ev: range from which the detector resolution at Mn Ka is drawn, in eV; equal ends fix it.
        vary_parchment: whether the parchment's calcium, potassium, chlorine and iron are drawn for this scan.
        seed: seed of all random choices.

    Raises:
        UserError: for a value out of its range; the message names it.
    """
    _check(rgb, counts, mean_counts, mode, weighting, fwhm_ev, seed)
    setup = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    cluster_seed = int(setup.integers(2**31))
    fwhm = float(setup.uniform(*fwhm_ev))
    parchment = setup if vary_parchment else None
    table = load_pigments(channels, fwhm_ev=fwhm, parchment=parchment).select(palette)
    clusters = cluster_colours(rgb, k_range, space=colour_space, seed=cluster_seed)

    def weigh(colours_N3: NDArray[np.float64]) -> NDArray[np.float64]:
        distance_NP = colour_distance(colours_N3, table.srgb / 255.0)
        return pigment_weights(distance_NP, threshold=threshold, weighting=weighting, top_k=top_k)

    pixel_weights = None
    if mode == "clusters":
        weights = weigh(clusters.colours)
        means_HWS, spectra_SC = _cluster_sources(weights, clusters.labels, table, absolute=counts == "absolute")
    else:
        pixel_weights = _weights_of_pixels(rgb, weigh)
        weights = _mean_by_cluster(pixel_weights, clusters.labels)
        relative_P = table.rates if counts == "absolute" else np.ones(len(table.names))
        means_HWS = pixel_weights * relative_P
        spectra_SC = table.spectra
    means_HWS *= mean_counts / means_HWS.sum(axis=2).mean()
    brightest = float(means_HWS.sum(axis=2).max() * spectra_SC.max())
    if brightest > MAX_RATE:
        raise UserError(
            f"mean_counts={mean_counts}: a channel could hold {brightest:.0f} counts, more than the {MAX_RATE} that "
            "uint16 is safe for: lower it"
        )
    return SyntheticScan(
        counts=sample_counts(means_HWS, spectra_SC, fixed=int(mean_counts) if counts == "fixed" else None, seed=seed),
        labels=clusters.labels,
        weights=weights,
        pigments=table.names,
        rgb=rgb,
        axis=table.axis,
        rates=_mean_by_cluster(means_HWS, clusters.labels) @ spectra_SC,
        colours=clusters.colours,
        scores=clusters.scores,
        fwhm_ev=fwhm,
        pixel_weights=pixel_weights,
    )


def _check(
    rgb: NDArray[np.uint8],
    counts: str,
    mean_counts: float,
    mode: str,
    weighting: str,
    fwhm_ev: tuple[float, float],
    seed: int,
) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise UserError(f"rgb: expected a uint8 array (H, W, 3), got {rgb.dtype} {rgb.shape}")
    for name, value, kinds in (
        ("counts", counts, get_args(Counts)),
        ("mode", mode, get_args(Mode)),
        ("weighting", weighting, get_args(Weighting)),
    ):
        if value not in kinds:
            raise UserError(f"{name}={value!r}: expected one of {', '.join(kinds)}")
    if not 0 < mean_counts < float("inf"):
        raise UserError(f"mean_counts={mean_counts}: expected a positive number of photons per pixel")
    if counts == "fixed" and mean_counts != int(mean_counts):
        raise UserError(f"mean_counts={mean_counts}: counts='fixed' draws a whole number of photons")
    if seed < 0:
        raise UserError(f"seed={seed}: expected 0 or more")
    if not fwhm_ev[0] <= fwhm_ev[1]:
        raise UserError(f"fwhm_ev={fwhm_ev}: expected the lower end of the range first")


def _cluster_sources(
    weights_KP: NDArray[np.float64], labels_HW: NDArray[np.int16], table: PigmentTable, *, absolute: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One source per cluster: relative brightness (H, W, K), zero but for a pixel's own cluster, and spectra.

    Without absolute rates a mixture averages unit spectra, as ganX does; with them, photons add up.
    """
    bright_KP = weights_KP * table.rates if absolute else weights_KP
    one_hot_KK = np.diag(bright_KP.sum(axis=1))
    return one_hot_KK[labels_HW], bright_KP @ table.spectra / bright_KP.sum(axis=1, keepdims=True)


def _weights_of_pixels(
    rgb_HW3: NDArray[np.uint8], weigh: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float32]:
    """(H, W, P) weights of each pixel's own colour; equal colours are weighed once."""
    code_HW = rgb_HW3.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    codes, inverse = np.unique(code_HW, return_inverse=True)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1) / 255.0
    return weigh(colours).astype(np.float32)[inverse.reshape(code_HW.shape)]


def _mean_by_cluster(values_HWX: NDArray[np.floating], labels_HW: NDArray[np.int16]) -> NDArray[np.float64]:
    """(K, X) mean over the pixels of each cluster."""
    return np.stack([values_HWX[labels_HW == k].mean(axis=0, dtype=np.float64) for k in range(labels_HW.max() + 1)])
