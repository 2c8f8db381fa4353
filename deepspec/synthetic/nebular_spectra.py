"""Any number of MUSE-like spectra of nebulae, block by block.

A library of 6,000 models of each class is divided among train, val and test. Two models of one class and one split,
mixed in a random proportion, are seen several times, each time at another velocity and width, behind other dust and
with other noise, as Bombini et al. (2024), section 3.1, do with Cloudy models.

The dust follows the law of Cardelli, Clayton & Mathis (1989, ApJ 345, 245), optical and near infrared. Lines are
Gaussians integrated over the instrument's pixels, then binned.

Shapes: N spectra, C channels, M mixtures, F features, L lines, W channel edges around a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import ndtr

from deepspec.errors import UserError
from deepspec.synthetic.muse import FWHM_PER_SIGMA, STEP, Binning, MuseChannels, line_spread
from deepspec.synthetic.nebular_lines import features, nebular_lines, shares
from deepspec.synthetic.nebular_models import NEBULAE, draw_models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from deepspec.synthetic.nebular_models import NebularModels

    Array = NDArray[np.float64]


R_V = 3.1
# Powers of x - 1.82 from the highest down, x in inverse micrometres.
_A = (0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0)
_B = (-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0)


def extinction(wavelength: NDArray[np.float64], r_v: float = R_V) -> NDArray[np.float64]:
    """Extinction in magnitudes for a colour excess E(B-V) of 1.

    Args:
        wavelength: angstrom, 3,030 to 33,000.
        r_v: ratio of total to selective extinction, 3.1 in the diffuse medium.

    Raises:
        ValueError: for a wavelength outside the law's range.
    """
    x = 1e4 / np.asarray(wavelength, dtype=np.float64)
    if (x < 0.3).any() or (x > 3.3).any():
        raise ValueError("the extinction law holds from 3030 to 33000 angstrom")
    optical = np.polyval(_A, x - 1.82) + np.polyval(_B, x - 1.82) / r_v
    infrared = (0.574 - 0.527 / r_v) * x**1.61
    return np.asarray(r_v * np.where(x >= 1.1, optical, infrared))


LIGHT = 299_792.458  # km/s
_REACH = 5.0  # standard deviations to either side: less than a millionth of the flux is beyond


def line_width(wavelength: Array, sigma_v: Array) -> Array:
    """Standard deviation in angstrom of a line at a wavelength, of the instrument and a velocity spread in km/s."""
    instrument = line_spread(wavelength) / FWHM_PER_SIGMA
    return np.sqrt(instrument**2 + (sigma_v / LIGHT * wavelength) ** 2)


def draw_lines(
    channels: MuseChannels, rest_L: Array, flux_NL: Array, velocity_N: Array, sigma_v_N: Array
) -> NDArray[np.float32]:
    """Spectra of lines without noise.

    Args:
        channels: of the result.
        rest_L: wavelengths at rest in angstrom.
        flux_NL: integrated flux of each line.
        velocity_N: km/s, positive recedes.
        sigma_v_N: standard deviation of the velocities in the gas, km/s.

    Returns:
        (N, C) flux per channel; a line between the ends of the axis has its whole flux in it.
    """
    n, count = len(velocity_N), channels.axis.channels
    shining = flux_NL.any(axis=0)
    rest_L, flux_NL = rest_L[shining], flux_NL[:, shining]
    if not flux_NL.size:
        return np.zeros((n, count), dtype=np.float32)
    centre_NL = rest_L * (1 + velocity_N[:, None] / LIGHT)
    sigma_NL = line_width(centre_NL, sigma_v_N[:, None])
    width = int(np.ceil(2 * _REACH * sigma_NL.max() / channels.width)) + 2
    # Edges go on beyond the ends of the axis, so that no line needs special treatment there.
    beyond = channels.width * np.arange(1, width + 1)
    pad_left, pad_right = channels.edges[0] - beyond[::-1], channels.edges[-1] + beyond
    below = np.concatenate([pad_left, channels.below, pad_right])
    first_NL = np.floor((centre_NL - _REACH * sigma_NL - channels.edges[0]) / channels.width).astype(np.int64) + width
    padded = count + 2 * width
    first_NL = np.clip(first_NL, 0, padded - width)
    edge_NLW = first_NL[..., None] + np.arange(width + 1)
    inverse = 1 / sigma_NL[..., None]
    running = ndtr((below[edge_NLW] - centre_NL[..., None]) * inverse)
    if channels.part.any():  # inside a pixel the light is spread evenly: the running sum is linear there
        above = np.concatenate([pad_left, channels.above, pad_right])
        part = np.pad(channels.part, width)[edge_NLW]
        running += part * (ndtr((above[edge_NLW] - centre_NL[..., None]) * inverse) - running)
    light_NLW = np.diff(running, axis=2)
    light_NLW *= flux_NL[..., None]
    place = edge_NLW[..., :-1] + (np.arange(n) * padded)[:, None, None]
    spectra = np.bincount(place.ravel(), weights=light_NLW.ravel(), minlength=n * padded)
    return spectra.reshape(n, padded)[:, width : width + count].astype(np.float32)


Split = Literal["train", "val", "test"]
LIBRARY: dict[str, int] = {"train": 4000, "val": 1200, "test": 800}  # models of each class
BLOCK_ROWS = 512  # arrays of a few megabytes: larger ones are fetched anew from the system each time, at half the speed
# Streams of random numbers, told apart by the first number of their key.
_LIBRARY_STREAM, _MIXTURE_STREAM, _BLOCK_STREAM = 0, 1, 2
# sd of velocities in the gas, km/s: uniform within bounds; shocks log-normal, then cut to bounds.
_CALM, _SHOCK_MEDIAN, _SHOCK_SPREAD, _SHOCK_BOUNDS = (8.0, 25.0), 40.0, 0.45, (20.0, 120.0)


@dataclass(frozen=True)
class Observation:
    """How nebulae are seen; ranges are uniform unless said otherwise.

    Attributes:
        binning: how MUSE's pixels become channels, see `MuseChannels`.
        bins: number of channels, except for binning "pixels".
        velocity: mean and standard deviation (normal) in km/s; M33 by default, (0, 0) is at rest.
        reddening: colour excess E(B-V).
        snr: height of H alpha over the noise of a pixel there (log-uniform).
        continuum: flat continuum as a share of H alpha's height; none in the paper.
        instances: fewest and most spectra of one mixture.

    Raises:
        UserError: for an impossible range; the message names it.
    """

    binning: Binning = "full"
    bins: int = 1024
    velocity: tuple[float, float] = (-179.0, 25.0)
    reddening: tuple[float, float] = (0.0, 0.3)
    snr: tuple[float, float] = (5.0, 200.0)
    continuum: tuple[float, float] = (0.0, 0.0)
    instances: tuple[int, int] = (5, 10)

    def __post_init__(self) -> None:
        for name, least in (("reddening", 0.0), ("snr", 1e-6), ("continuum", 0.0), ("instances", 1)):
            low, high = getattr(self, name)
            if not least <= low <= high < float("inf"):
                raise UserError(f"{name}={low}, {high}: expected {least:g} <= lower end <= upper end")
        mean, spread = self.velocity
        if not (abs(mean) + 6 * abs(spread) <= 3000 and spread >= 0):
            raise UserError(f"velocity={mean}, {spread}: expected a mean and a deviation (0 or more) within 3000 km/s")


@dataclass(frozen=True)
class NebularBlock:
    """Consecutive spectra and what they were made from.

    Attributes:
        spectra: (N, C) float32 flux per channel, unreddened H beta = 100.
        labels: (N,) int16 class, position in `CLASSES`.
        rows: (N,) number of each spectrum in the set.
        mixture: (N,) number of its mixture.
        height: (N,) flux of H alpha in a pixel at its centre.
        drawn: (N,) by name: velocity and sigma_v in km/s, reddening, snr, continuum.
    """

    spectra: NDArray[np.float32]
    labels: NDArray[np.int16]
    rows: NDArray[np.int64]
    mixture: NDArray[np.int64]
    height: Array
    drawn: dict[str, Array]


class NebularSpectra:
    """A set of spectra that is made when it is asked for; the same arguments give the same spectra, bit for bit.

    A set with more rows begins with the spectra of the one with fewer.

    Args:
        rows: number of spectra N.
        split: which models of the library to use.
        observation: how they are seen.
        seed: seed of all random choices.

    Attributes:
        channels: the instrument's.
        library: models of each label, 1 to 3, of all splits.
        models: (M, 2) numbers of the models in each mixture.
        share: (M,) share of the first one.
        first_row: (M + 1,) first spectrum of each mixture, and N.

    Raises:
        UserError: for a negative number of rows or seed.
    """

    def __init__(
        self, rows: int, split: Split = "train", observation: Observation | None = None, *, seed: int = 0
    ) -> None:
        if rows < 0 or seed < 0:
            raise UserError(f"rows={rows}, seed={seed}: expected 0 or more")
        self.rows, self.split, self.seed = rows, split, seed
        self.observation = observation or Observation()
        self.channels = MuseChannels(self.observation.binning, self.observation.bins)
        self.library = draw_library(seed)
        self._split_number = list(LIBRARY).index(split)
        # A stream for each, so that a longer set begins with the shorter one.
        sizes, pairs, others, mixing = (self._rng(_MIXTURE_STREAM, self._split_number, i) for i in range(4))
        least, most = self.observation.instances
        instances = sizes.integers(least, most + 1, -(-rows // least))
        first_row = np.concatenate([[0], np.cumsum(instances)])
        self.first_row = np.append(first_row[first_row < rows], rows)
        mixtures = len(self.first_row) - 1
        first, last = library_range(split)
        one = pairs.integers(first, last, mixtures)
        other = others.integers(first, last - 1, mixtures)
        # The second number skips the first: two different models, every pair equally likely.
        self.models = np.stack([one, other + (other >= one)], axis=1)
        self.share = mixing.uniform(size=mixtures)
        self._extinction = extinction(np.array([line.wavelength for line in nebular_lines()]))

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def mixture_labels(self, mixture: NDArray[np.int64]) -> NDArray[np.int16]:
        """Class of mixtures: the three take turns."""
        return (1 + mixture % len(NEBULAE)).astype(np.int16)

    def mixture_flux(self, mixture: NDArray[np.int64]) -> Array:
        """(N, F) flux of each feature in the given mixtures, H beta = 100."""
        labels, share = self.mixture_labels(mixture), self.share[mixture, None]
        flux_NF = np.empty((len(mixture), len(features())))
        for label in NEBULAE:
            own = labels == label
            first, second = (self.library[label].flux_NF[self.models[mixture[own], i]] for i in (0, 1))
            flux_NF[own] = share[own] * first + (1 - share[own]) * second
        return flux_NF

    def block(self, number: int, *, noise: bool = True) -> NebularBlock:
        """Spectra `number` * 512 and following.

        Args:
            number: of the block, from 0.
            noise: whether to add it; all else stays the same without.
        """
        rows = np.arange(number * BLOCK_ROWS, min((number + 1) * BLOCK_ROWS, self.rows))
        rng = self._rng(_BLOCK_STREAM, self._split_number, number)
        mixture = np.searchsorted(self.first_row, rows, side="right") - 1
        labels = self.mixture_labels(mixture)
        drawn = self._draw(labels, rng)
        flux_NL = self.mixture_flux(mixture) @ shares()
        flux_NL *= 10 ** (-0.4 * drawn["reddening"][:, None] * self._extinction)
        spectra = np.empty((len(rows), self.channels.axis.channels), dtype=np.float32)
        rest_L = np.array([line.wavelength for line in nebular_lines()])
        for label in NEBULAE:  # apart, because the widest line sets how far all are drawn
            own = labels == label
            if own.any():
                spectra[own] = draw_lines(
                    self.channels, rest_L, flux_NL[own], drawn["velocity"][own], drawn["sigma_v"][own]
                )
        height = peak_height(flux_NL, drawn["sigma_v"])
        if self.observation.continuum[1] > 0:
            per_pixel = (drawn["continuum"] * height).astype(np.float32)
            spectra += per_pixel[:, None] * np.float32(self.channels.width / STEP)
        if noise:
            noise_NC = self.channels.noise(rng, len(rows))
            noise_NC *= (height / drawn["snr"]).astype(np.float32)[:, None]
            spectra += noise_NC
        return NebularBlock(spectra, labels, rows, mixture, height, drawn)

    def _draw(self, labels: NDArray[np.int16], rng: np.random.Generator) -> dict[str, Array]:
        seen, n = self.observation, len(labels)
        spread = rng.uniform(*_CALM, n)
        shocked = _SHOCK_MEDIAN * np.exp(_SHOCK_SPREAD * rng.standard_normal(n))
        return {
            "velocity": rng.normal(*seen.velocity, n),
            "sigma_v": np.where(labels == NEBULAE[-1], np.clip(shocked, *_SHOCK_BOUNDS), spread),
            "reddening": rng.uniform(*seen.reddening, n),
            "snr": np.exp(rng.uniform(np.log(seen.snr[0]), np.log(seen.snr[1]), n)),
            "continuum": rng.uniform(*seen.continuum, n),
        }

    def blocks(self, *, noise: bool = True) -> Iterator[NebularBlock]:
        """All spectra in order, 512 at a time."""
        for number in range(-(-self.rows // BLOCK_ROWS)):
            yield self.block(number, noise=noise)


def draw_library(seed: int) -> dict[int, NebularModels]:
    """The models of each label, of all splits."""
    total = sum(LIBRARY.values())
    streams = {label: np.random.SeedSequence(seed, spawn_key=(_LIBRARY_STREAM, label)) for label in NEBULAE}
    return {label: draw_models(label, total, np.random.default_rng(stream)) for label, stream in streams.items()}


def library_range(split: Split) -> tuple[int, int]:
    """First model of a split and the end."""
    order = list(LIBRARY)
    first = sum(LIBRARY[name] for name in order[: order.index(split)])
    return first, first + LIBRARY[split]


def peak_height(flux_NL: Array, sigma_v_N: Array) -> Array:
    """(N,) flux of H alpha in a pixel at its centre, if it lies there."""
    [column] = [i for i, line in enumerate(nebular_lines()) if line.name == "Ha"]
    sigma = line_width(np.full(len(flux_NL), nebular_lines()[column].wavelength), sigma_v_N)
    height: Array = flux_NL[:, column] * STEP / (np.sqrt(2 * np.pi) * sigma)
    return height
