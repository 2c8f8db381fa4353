"""Name the peaks of spectra, by options that every verb has which names peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepspec.errors import UserError
from deepspec.lines.candidate import LabelledPeak
from deepspec.lines.peaks import find_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.lines.calibration_fit import Calibration

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class LineOptions:
    """What is known about the measurement when peaks are named.

    Args:
        tube: anode of the X-ray tube (Rh, Mo, Ag, Pd, W, Cr), whose scattered lines are flagged; none if there is no
            tube. Without this option the anode is looked for in the spectra.
        significance: peaks stand out of the noise by at least this many standard deviations.
        medium: whether wavelengths are in air or in vacuum.
        refine_axis: correct the energy axis, in all results, by the lines of the elements that were found.
    """

    tube: str | None = None
    significance: float = 5.0
    medium: Literal["air", "vacuum"] = "air"
    refine_axis: bool = False

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: saying what is expected.
        """
        from deepspec.lines.tube import check_tube

        check_tube(self.tube)
        if not (math.isfinite(self.significance) and self.significance >= 3):
            raise UserError(
                f"significance: expected at least 3 standard deviations, got {self.significance:g}; with less, noise "
                "has peaks"
            )


FINEST_RESOLUTION = 400.0
"""Emission lines are looked for where the wavelength is at least this many channels: not in broad-band scenes."""


@dataclass(frozen=True)
class Identification:
    """The peaks of the spectra of one cube, and what their names rest on."""

    labels: list[list[LabelledPeak]]
    """Of each spectrum, by position on the axis as it is."""
    calibration: Calibration | None = None
    """Of an axis of energies: what the lines say about it."""
    tube: str | None = None
    """Anode of the X-ray tube, if it was given or found."""
    redshifts: tuple[float | None, ...] = ()
    """Of the emission lines of each spectrum; None where there are too few to tell."""


def identify(
    spectra_KC: Array,
    axis: SpectralAxis,
    *,
    redshift: tuple[float, float] = (0.0, 0.0),
    options: LineOptions | None = None,
) -> Identification:
    """Find the peaks of the spectra of one cube and say what they may be.

    X-ray spectra share one detector: offset, gain and width of the axis are fitted to all of them together, so that
    names are right on an axis that is wrong by up to 100 eV.

    Args:
        spectra_KC: (K, C) counts or flux, each of one pixel or the mean of many; one with NaN has no peaks.
        axis: keV for X-ray lines, wavelengths for emission lines; in channels and 1/cm, peaks are
            found but not named.
        redshift: for wavelengths, lowest and highest; for each spectrum the best between them is taken.
        options: what else is known.
    """
    options = options or LineOptions()
    options.check()
    spectra_KC = np.asarray(spectra_KC, dtype=np.float64)
    if axis.values[0] > axis.values[-1]:
        axis, spectra_KC = type(axis)(axis.values[::-1], axis.unit), spectra_KC[:, ::-1]
    finite = np.flatnonzero(np.isfinite(spectra_KC).all(axis=1)).tolist()
    labels: list[list[LabelledPeak]] = [[] for _ in spectra_KC]
    if axis.unit == "keV" and finite and axis.channels >= 8:
        from deepspec.lines.xray import label_energies

        found = label_energies(spectra_KC[finite], axis, significance=options.significance, tube=options.tube)
        for number, peaks in zip(finite, found.labels, strict=True):
            labels[number] = peaks
        return Identification(labels, found.calibration, found.tube)
    if axis.unit in ("channel", "1/cm"):  # Raman and infrared bands are found, there is no table of them
        for number in finite:
            unnamed = find_peaks(spectra_KC[number], axis, significance=options.significance)
            labels[number] = [LabelledPeak(peak, ()) for peak in unnamed]
        return Identification(labels)
    if axis.unit == "keV" or np.median(axis.values / axis.widths()) < FINEST_RESOLUTION:
        return Identification(labels)
    from deepspec.lines.emission import label_wavelengths

    redshifts: list[float | None] = [None] * len(labels)
    for number in finite:
        named = label_wavelengths(
            spectra_KC[number], axis, redshift, significance=options.significance, medium=options.medium
        )
        labels[number], redshifts[number] = named.labels, named.redshift
    return Identification(labels, redshifts=tuple(redshifts))


def label_peaks(
    spectrum_C: Array,
    axis: SpectralAxis,
    *,
    redshift: tuple[float, float] = (0.0, 0.0),
    options: LineOptions | None = None,
) -> list[LabelledPeak]:
    """Find the peaks of a spectrum (C,) and say what they may be: see `identify`."""
    return identify(spectrum_C[None], axis, redshift=redshift, options=options).labels[0]


def label_clusters(
    spectra_KC: Array,
    axis: SpectralAxis,
    *,
    redshift: tuple[float, float] = (0.0, 0.0),
    options: LineOptions | None = None,
) -> list[list[LabelledPeak]]:
    """Label the peaks of every cluster's spectrum (K, C), all of one cube: see `identify`."""
    return identify(spectra_KC, axis, redshift=redshift, options=options).labels
