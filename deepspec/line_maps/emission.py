"""Flux, velocity and dispersion maps of emission lines, for cubes with wavelengths.

Shapes: C channels, H rows, N pixels of a piece, n channels of a window, S mean spectra, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError, did_you_mean
from deepspec.line_maps.result import LineMap, LineMaps
from deepspec.line_maps.spectra import Passes
from deepspec.lines.emission import EmissionLine, emission_lines, to_air, to_vacuum
from deepspec.lines.label import FINEST_RESOLUTION, LineOptions, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.data.cube import SpectralCube

    Array = NDArray[np.float64]

LIGHT_KM_S = 299_792.458

_LEAST_SCORE = 0.5
"""Of a peak's first candidate, as where labels have no question mark."""

_SIDE = 3.0
"""The continuum is fitted from one to so many half-widths of the window, to either side of it."""

_LEAST_SIDE = 6
"""Channels of continuum at least."""

_LEAST_INSIDE = 4
"""Channels of a line at least: its Gaussian has three numbers."""

_BLEND_KM_S = 230.0
"""Lines nearer than this, as the [OII] doublet is, are one: the light of both is in the window."""

_USUAL = 0.5
"""Weight of lines that may shine wherever gas does."""

_STEPS = 25
"""Most steps of the fit of a Gaussian."""

_PIXELS = 2**14
"""Pixels whose lines are fitted at once."""


@dataclass(frozen=True)
class _Window:
    """Where one line is measured."""

    line: EmissionLine
    centre: float
    """Observed wavelength at the redshift of the cube, in angstrom."""
    inside: NDArray[np.intp]
    """(n,) channels."""
    beside: NDArray[np.intp]
    """Channels of the continuum."""


def map_emission(
    cube: SpectralCube,
    lines: str | Sequence[str] | None = None,
    *,
    redshift: tuple[float, float] = (0.0, 0.0),
    width: float = 500.0,
    options: LineOptions | None = None,
    parts: NDArray[np.integer] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> LineMaps:
    """Flux, velocity and velocity dispersion of each emission line in every pixel.

    A straight continuum is fitted beside the line's window and subtracted. The flux is the sum over the window.
    Velocity and dispersion are those of a Gaussian fitted within it; the dispersion has that of the instrument in it.
    Errors follow from the uncertainties that the file gives (STAT, ERR, IVAR), else from the scatter about the
    continuum.

    Args:
        cube: an open cube with wavelengths, at least as fine as 1/400 of the wavelength.
        lines: names as in "Hα,[OIII]5007" (Ha is taken too); default those found in the mean spectra.
        redshift: lowest and highest to look at; velocities are relative to the one found for the whole cube, or to the
            mean of the two where no lines are found.
        width: half-width of a line's window in km/s, but three channels at least; half the distance to a neighbouring
            line limits it.
        options: `significance`: velocities are NaN where the flux is less than so many standard deviations; `medium`.
        parts: (H, W) numbers from 0, -1 for none, in whose mean spectra lines are looked for; default tiles of the
            image.
        progress: called with the name of the pass, the pixels done and all.

    Returns:
        Three maps for each line, "NAME flux", "NAME velocity" and "NAME dispersion".

    Raises:
        UserError: the axis has no wavelengths or is too coarse, a line is unknown or not on it, or none is found.
    """
    options = options or LineOptions()
    options.check()
    if not (math.isfinite(width) and width > 0):
        raise UserError(f"width: expected the half-width of a line's window in km/s, above 0, got {width:g}")
    _check_axis(cube)
    passes = Passes(cube, progress)
    axis = passes.axis.to("angstrom")
    seen = passes.overview(parts)
    found = identify(seen.spectra_SC, axis, redshift=redshift, options=options)
    known = [(z, n) for z, n in zip(found.redshifts, seen.pixels_S.tolist(), strict=True) if z is not None]
    z = _weighted_median(known) if known else (redshift[0] + redshift[1]) / 2
    if lines is None:
        wanted = _found_lines(found.labels)
        if not wanted:
            raise UserError(
                f"{cube.path or 'the cube'}: no emission lines are found in the mean spectra; name them with "
                "--lines Hα,[OIII]5007, and give --redshift LOWEST HIGHEST where it is not 0"
            )
    else:
        wanted = parse_lines(lines)
    windows, notes = _windows(wanted, z, width, axis, options, found=lines is None)
    made = _Maps(windows, cube.mask.shape, axis, options.significance, width)
    for where, x_nWC, usable_nW in passes.blocks("line maps"):
        errors_nWC = cube.read_errors(where.start, where.stop)
        if errors_nWC is not None and passes.falls:
            errors_nWC = errors_nWC[..., ::-1]
        made.add(where, x_nWC, usable_nW, errors_nWC)
    bunit = str(cube.metadata.get("BUNIT", "")).strip()
    unit = f"{bunit} angstrom" if bunit else "as measured x angstrom"
    note = (
        f"velocities are relative to a redshift of {z:.5f} ({'found' if known else 'given'}); the dispersion has "
        f"that of the instrument in it; both are NaN where the flux is less than {options.significance:g} "
        "standard deviations"
    )
    origin = {"redshift": f"{z:.6f}", "width_km_s": f"{width:g}", "medium": options.medium}
    return LineMaps("emission", tuple(made.maps(unit)), "angstrom", (note, *notes), origin)


def parse_lines(text: str | Sequence[str]) -> list[EmissionLine]:
    """The emission lines that a user names.

    Args:
        text: names with commas between, or a list; Ha, Hb and so on are taken for the Greek ones, brackets may be left
            out.

    Raises:
        UserError: there is no such line; the message names the nearest.

    >>> [line.name for line in parse_lines("Ha, OIII5007")]
    ['Hα', '[OIII]5007']
    """
    table = {line.name: line for line in emission_lines() if line.weight > 0}
    spelt = {_plain(name): line for name, line in table.items()}
    words = [part.strip() for word in ([text] if isinstance(text, str) else text) for part in word.split(",")]
    found = []
    for word in filter(None, words):
        line = table.get(word, spelt.get(_plain(word)))
        if line is None:
            hint = did_you_mean(word, table, otherwise="; expected names as in --lines Hα,[OIII]5007")
            raise UserError(f"line '{word}': no such emission line is known{hint}")
        if line not in found:
            found.append(line)
    if not found:
        raise UserError("lines: expected names of emission lines, as in --lines Hα,[OIII]5007")
    return found


_GREEK = str.maketrans({"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "[": "", "]": "", " ": ""})


def _plain(name: str) -> str:
    return name.translate(_GREEK).lower()


def _check_axis(cube: SpectralCube) -> None:
    axis, name = cube.axis, cube.path or "the cube"
    if axis.unit not in ("angstrom", "nm", "um"):
        raise UserError(
            f"{name}: maps of emission lines need wavelengths, and it has {axis}: give --axis FIRST:LAST:angstrom"
        )
    if np.median(axis.values / axis.widths()) < FINEST_RESOLUTION:
        raise UserError(
            f"{name}: its channels are too wide for emission lines ({axis}): expected a wavelength of at least "
            f"{FINEST_RESOLUTION:g} channels' width"
        )


def _weighted_median(known: Sequence[tuple[float, int]]) -> float:
    order = sorted(known)
    reached = np.cumsum([pixels for _, pixels in order])
    return order[int(np.searchsorted(reached, reached[-1] / 2))][0]


def _found_lines(labels: Sequence[Sequence[Any]]) -> list[EmissionLine]:
    """Lines that are the first candidate of a peak, by wavelength."""
    table = {line.name: line for line in emission_lines()}
    names = {
        peak.candidates[0].label
        for spectrum in labels
        for peak in spectrum
        if peak.candidates and peak.candidates[0].score >= _LEAST_SCORE
    }
    return sorted((table[name] for name in names if name in table), key=lambda line: line.wavelength)


def _windows(
    lines: Sequence[EmissionLine], z: float, width: float, axis: SpectralAxis, options: LineOptions, *, found: bool
) -> tuple[list[_Window], list[str]]:
    """A window for each line, and what those that were found, not asked for, are left out for."""
    values, widths = axis.values, axis.widths()

    def observed(line: EmissionLine) -> float:
        seen = to_vacuum(np.array(line.wavelength)) * (1 + z)
        return float(seen if options.medium == "vacuum" else to_air(seen))

    # Neighbours that are not mapped have light too, if they are usual.
    usual = [line for line in emission_lines() if line.weight >= _USUAL]
    centres = np.array(sorted({observed(line) for line in [*lines, *usual]}))
    half_L = np.maximum(width / LIGHT_KM_S * centres, 3 * np.interp(centres, values, widths))
    lit_C = np.zeros(len(values), dtype=bool)
    for centre, half in zip(centres, half_L, strict=True):
        lit_C |= np.abs(values - centre) < half
    windows, left_out = [], []
    for line in lines:
        try:
            windows.append(_window(line, observed(line), centres, half_L, axis, lit_C))
        except UserError as error:
            if not found:
                raise
            left_out.append((line.name, error))
    if not windows:
        raise UserError(str(left_out[0][1]))
    names = ", ".join(name for name, _ in left_out)
    return windows, [f"left out {names}: too near to another line or to the end of the axis"] if left_out else []


def _window(
    line: EmissionLine, centre: float, centres: Array, half_L: Array, axis: SpectralAxis, lit_C: NDArray[np.bool_]
) -> _Window:
    values = axis.values
    half = float(half_L[np.abs(centres - centre).argmin()])
    if not values[0] + half < centre < values[-1] - half:
        raise UserError(
            f"line '{line.name}': at {centre:.1f} angstrom, with its window, it is not on the axis of "
            f"{values[0]:.1f} to {values[-1]:.1f} angstrom; leave it out of --lines, or give another --redshift"
        )
    away_L = np.abs(centres - centre)
    nearest = float(centres[np.where(away_L > _BLEND_KM_S / LIGHT_KM_S * centre, away_L, np.inf).argmin()])
    away_C = np.abs(values - centre)
    inside_C = away_C <= min(half, abs(nearest - centre) / 2)
    if inside_C.sum() < _LEAST_INSIDE:
        raise UserError(
            f"line '{line.name}': {inside_C.sum()} channels are nearer to it than to the next line at {nearest:.1f} "
            f"angstrom, fewer than {_LEAST_INSIDE}; leave it out of --lines"
        )
    reach = _SIDE * half
    while (beside_C := (away_C > half) & (away_C <= reach) & ~lit_C).sum() < _LEAST_SIDE and reach < 50 * half:
        reach *= 1.5
    if beside_C.sum() < _LEAST_SIDE:
        raise UserError(f"line '{line.name}': there is no continuum beside it; give a smaller --width")
    return _Window(line, centre, np.flatnonzero(inside_C), np.flatnonzero(beside_C))


class _Maps:
    """Images that fill as the cube passes by."""

    def __init__(
        self, windows: Sequence[_Window], shape: tuple[int, ...], axis: SpectralAxis, significance: float, width: float
    ) -> None:
        self._windows, self._axis, self._significance, self._width = windows, axis, significance, width
        # Flux, velocity, dispersion, and the errors of the three.
        self._images = np.full((len(windows), 6, *shape), np.nan, np.float32)

    def add(self, where: slice, x_nWC: NDArray[Any], usable_nW: NDArray[np.bool_], errors_nWC: Any) -> None:
        x_NC = x_nWC[usable_nW]
        errors_NC = None if errors_nWC is None else errors_nWC[usable_nW]
        for window, images in zip(self._windows, self._images, strict=True):
            found = np.full((6, len(x_NC)), np.nan)
            for start in range(0, len(x_NC), _PIXELS):
                part = slice(start, start + _PIXELS)
                found[:, part] = self._measure(window, x_NC[part], None if errors_NC is None else errors_NC[part])
            images[:, where][:, usable_nW] = found

    def _measure(self, window: _Window, x_NC: NDArray[Any], errors_NC: NDArray[Any] | None) -> Array:
        """(6, N): flux, velocity, dispersion, and their errors."""
        values = self._axis.values
        offset_n = (values[window.inside] - window.centre) / window.centre * LIGHT_KM_S
        offset_b = (values[window.beside] - window.centre) / window.centre * LIGHT_KM_S
        design_b2 = np.stack([np.ones_like(offset_b), offset_b / self._width], 1)
        solve_2b = np.linalg.pinv(design_b2)
        line_n2 = np.stack([np.ones_like(offset_n), offset_n / self._width], 1)
        beside_Nb = x_NC[:, window.beside].astype(np.float64)
        inside_Nn = x_NC[:, window.inside].astype(np.float64)
        coefficients_N2 = beside_Nb @ solve_2b.T
        net_Nn = inside_Nn - coefficients_N2 @ line_n2.T
        step_n = self._axis.widths()[window.inside]
        flux_N = net_Nn @ step_n
        if errors_NC is None:
            scatter_N = ((beside_Nb - coefficients_N2 @ design_b2.T) ** 2).sum(1) / (len(offset_b) - 2)
            variance_Nn = np.repeat(scatter_N[:, None], len(offset_n), 1)
            variance_Nb = np.repeat(scatter_N[:, None], len(offset_b), 1)
        else:
            variance_Nn = errors_NC[:, window.inside].astype(np.float64) ** 2
            variance_Nb = errors_NC[:, window.beside].astype(np.float64) ** 2
        weight_b = (step_n @ line_n2) @ solve_2b
        variance_N = variance_Nn @ step_n**2 + variance_Nb @ weight_b**2
        found = np.full((6, len(x_NC)), np.nan)
        found[0], found[3] = flux_N, np.sqrt(variance_N)
        sure = np.flatnonzero(flux_N > self._significance * np.sqrt(variance_N))
        if len(sure):
            step = float(np.median(np.diff(offset_n)))
            fitted = fit_gaussians(net_Nn[sure], variance_Nn[sure], offset_n, flux_N[sure] / step_n.mean(), step)
            found[1][sure], found[2][sure], found[4][sure], found[5][sure] = fitted
        return found

    def maps(self, unit: str) -> list[LineMap]:
        found = []
        kinds = (
            ("flux", "flux", unit),
            ("velocity", "velocity", "km/s"),
            ("dispersion", "velocity dispersion", "km/s"),
        )
        for window, images in zip(self._windows, self._images, strict=True):
            for number, (word, quantity, own) in enumerate(kinds):
                name = f"{window.line.name} {word}"
                found.append(LineMap(name, quantity, own, window.centre, images[number], images[number + 3]))
        return found


def fit_gaussians(
    net_Nn: Array, variance_Nn: Array, offset_n: Array, sum_N: Array, step: float
) -> tuple[Array, Array, Array, Array]:
    """Centre and width of a line in many spectra, by weighted least squares (Levenberg 1944; Marquardt 1963).

    Args:
        net_Nn: (N, n) line without continuum.
        variance_Nn: (N, n) its variance.
        offset_n: (n,) positions of the channels, rising.
        sum_N: (N,) sums of the lines over the channels, positive.
        step: distance of the channels.

    Returns:
        (N,) centres and standard deviations in the unit of the positions, and the standard errors of both; NaN where
        the fit leaves the window, or ends at a width below a third of a channel.
    """
    low, high = float(offset_n[0]), float(offset_n[-1])
    weight_Nn = 1 / np.maximum(variance_Nn, 1e-30 * np.maximum(variance_Nn.max(1, keepdims=True), 1e-300))
    positive_Nn = np.maximum(net_Nn, 0)
    peak_N = offset_n[np.argmax(positive_Nn, 1)]
    near_Nn = positive_Nn * (np.abs(offset_n - peak_N[:, None]) < 0.4 * (high - low))
    total_N = np.maximum(near_Nn.sum(1), 1e-300)
    centre_N = near_Nn @ offset_n / total_N
    width_N = np.sqrt(np.maximum((near_Nn * (offset_n - centre_N[:, None]) ** 2).sum(1) / total_N, step**2 / 4))
    height_N = np.maximum(sum_N * step / (width_N * math.sqrt(2 * math.pi)), 1e-300)
    damping_N = np.full(len(net_Nn), 1e-3)

    def model(h: Array, c: Array, w: Array) -> tuple[Array, Array]:
        u_Nn = (offset_n - c[:, None]) / w[:, None]
        return np.exp(-0.5 * u_Nn**2) * h[:, None], u_Nn

    def misfit(h: Array, c: Array, w: Array) -> Array:
        return np.asarray((weight_Nn * (net_Nn - model(h, c, w)[0]) ** 2).sum(1))

    cost_N = misfit(height_N, centre_N, width_N)
    for _ in range(_STEPS):
        shape_Nn, u_Nn = model(height_N, centre_N, width_N)
        slope_Nn3 = np.stack(
            [shape_Nn, shape_Nn * u_Nn / width_N[:, None], shape_Nn * u_Nn**2], -1
        )  # by ln height, centre, ln width
        normal_N33 = np.einsum("nij,ni,nik->njk", slope_Nn3, weight_Nn, slope_Nn3)
        right_N3 = np.einsum("nij,ni->nj", slope_Nn3, weight_Nn * (net_Nn - shape_Nn))
        diagonal_N3 = np.maximum(np.einsum("njj->nj", normal_N33), 1e-300)
        damped_N33 = normal_N33 + np.einsum("nj,jk->njk", damping_N[:, None] * diagonal_N3, np.eye(3))
        change_N3 = np.einsum("njk,nk->nj", np.linalg.pinv(damped_N33), right_N3)
        new_h = height_N * np.exp(np.clip(change_N3[:, 0], -1, 1))
        new_c = np.clip(centre_N + np.clip(change_N3[:, 1], -width_N, width_N), low, high)
        new_w = np.clip(width_N * np.exp(np.clip(change_N3[:, 2], -1, 1)), 0.3 * step, high - low)
        new_cost = misfit(new_h, new_c, new_w)
        better = new_cost < cost_N
        gained = (cost_N - new_cost)[better]
        height_N = np.where(better, new_h, height_N)
        centre_N = np.where(better, new_c, centre_N)
        width_N = np.where(better, new_w, width_N)
        cost_N = np.where(better, new_cost, cost_N)
        damping_N = np.clip(np.where(better, damping_N / 5, damping_N * 5), 1e-8, 1e8)
        if len(gained) and gained.max() < 1e-4 and better.mean() > 0.5:
            break
    shape_Nn, u_Nn = model(height_N, centre_N, width_N)
    slope_Nn3 = np.stack([shape_Nn, shape_Nn * u_Nn / width_N[:, None], shape_Nn * u_Nn**2], -1)
    covariance = np.linalg.pinv(np.einsum("nij,ni,nik->njk", slope_Nn3, weight_Nn, slope_Nn3))
    centre_error = np.sqrt(np.maximum(covariance[:, 1, 1], 0))
    width_error = width_N * np.sqrt(np.maximum(covariance[:, 2, 2], 0))
    wrong = (centre_N <= low) | (centre_N >= high) | (width_N <= 0.31 * step) | (width_N >= 0.99 * (high - low))
    found = (centre_N, width_N, centre_error, width_error)
    return tuple(np.where(wrong, np.nan, values) for values in found)  # type: ignore[return-value]
