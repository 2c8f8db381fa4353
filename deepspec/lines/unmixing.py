"""How much of each element is in each pixel: lines, background and scatter fitted to all pixels at once.

The spectrum of a pixel is taken as a sum of shapes that are the same everywhere: the lines of a shell of an element in
the ratios that the fit of the mean spectrum gives them, with their escape peaks; the tube's scattered lines; sums of
two photons; and pieces of the background. The amounts are those of least squares with one set of weights for all
pixels, 1 / variance of the mean spectrum, so that a single small matrix holds for all of them, and no element is
below zero.

Shapes: B pieces of background, C channels, E families and what else must not be negative, F families of lines, P
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepspec.errors import UserError, did_you_mean
from deepspec.lines.background import background_basis, snip
from deepspec.lines.calibration_fit import Calibration
from deepspec.lines.parts import family_part
from deepspec.lines.peaks import fwhm_kev
from deepspec.lines.tube import scattered_parts
from deepspec.lines.xray import escape_spectrum, sum_spectrum
from deepspec.lines.xray_lines import ELEMENTS, Family, families, group_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.axis import SpectralAxis
    from deepspec.lines.label import Identification

    Array = NDArray[np.float64]

MODEL_ERROR = 0.03
"""By how much of the background and lines in a channel the shapes may be wrong, beside the noise of counting."""

_OVERLAP = 0.9
"""Correlation of two amounts from which on a note says that they can hardly be told apart."""

_WINDOW_KEV = 0.8
"""Lines of less energy, which windows hardly let through, are not taken to be there since others of the element are."""

_SHARE = 0.3
"""Of a family's photons that must lie on the axis, so that its map is one of the element."""


class FamilyName(NamedTuple):
    """What a map is of."""

    element: str
    """Chemical symbol."""
    shell: str
    """K, L or M."""

    def __str__(self) -> str:
        return f"{self.element} {self.shell}"


def parse_elements(text: str | Sequence[str]) -> list[tuple[str, str | None]]:
    """The elements that a user asks for.

    Args:
        text: symbols, each with its shell if only that is meant, as in "Fe", "Pb-L" or "Pb L", in a list or with commas
            between.

    Returns:
        Symbol and shell, None for all shells, in the order given.

    Raises:
        UserError: there is no such element, or none that has lines in the table; the message names the nearest.

    >>> parse_elements("Fe, Pb-L")
    [('Fe', None), ('Pb', 'L')]
    """
    words = [part.strip() for word in ([text] if isinstance(text, str) else text) for part in word.split(",")]
    found: list[tuple[str, str | None]] = []
    for word in filter(None, words):
        element, _, shell = word.replace("_", "-").replace(" ", "-").partition("-")
        if element not in ELEMENTS:
            hint = did_you_mean(element, ELEMENTS, otherwise=": expected chemical symbols, as in --elements Fe,Pb-L")
            raise UserError(f"element '{word}': no X-ray lines of it are known{hint}")
        if shell and shell not in ("K", "L", "M"):
            raise UserError(f"element '{word}': expected the shell K, L or M, as in {element}-K")
        if (element, shell or None) not in found:
            found.append((element, shell or None))
    if not found:
        raise UserError("elements: expected chemical symbols, as in --elements Fe,Pb-L")
    return found


def found_families(found: Identification, least: float = 0.5) -> list[FamilyName]:
    """Families of lines that are the first candidate of a peak of some spectrum, by the energy of that peak.

    Args:
        found: peaks of the spectra of a cube.
        least: score of the candidate.
    """
    places: dict[FamilyName, float] = {}
    for labels in found.labels:
        for peak in labels:
            top = peak.candidates[0] if peak.candidates else None
            if top is not None and top.kind == "line" and top.score >= least:
                name = FamilyName(top.source, top.label.split()[1][0])
                places[name] = min(places.get(name, np.inf), top.position)
    return sorted(places, key=lambda name: places[name])


@dataclass(frozen=True, eq=False)
class SpectraModel:
    """Shapes that the spectra of all pixels of a scan are sums of."""

    names: tuple[FamilyName, ...]
    """(F,) families of lines."""
    energies: tuple[float, ...]
    """(F,) of their main lines in keV."""
    asked: tuple[bool, ...]
    """(F,) whether a map is wanted, and not only that the others are told apart from it."""
    shape_EC: Array
    """(E, C) counts in each channel of what must not be negative: the F families, whose lines on the axis sum to 1
    before their escape peaks are added, then sums of photons and the tube's scattered lines."""
    back_BC: Array
    """(B, C) pieces of the background."""
    variance_C: Array
    """(C,) of the counts of a pixel as bright as the mean."""
    total: float
    """Counts of such a pixel."""
    notes: tuple[str, ...] = ()
    """What the reader of the maps should know."""


def make_model(
    spectra_SC: Array,
    pixels_S: NDArray[np.int64],
    axis: SpectralAxis,
    found: Identification,
    *,
    elements: Sequence[tuple[str, str | None]] | None = None,
) -> SpectraModel:
    """The shapes that the pixels of a scan are fitted with.

    Args:
        spectra_SC: (S, C) finite, mean spectra of parts of the scan, such as tiles or clusters. The more they differ,
            the better the ratios of lines are known that overlap.
        pixels_S: (S,) how many pixels each is the mean of, at least 1.
        axis: of energies, rising.
        found: peaks of spectra of the scan, its calibration and tube.
        elements: whose maps are wanted, as `parse_elements`; default those found. Elements that are found and not asked
            for take part in the fit.

    Raises:
        UserError: the axis has no energies, an element has no lines on it, or nothing is found.
    """
    if axis.unit != "keV":
        raise UserError(
            f"element maps need an energy axis, got {axis}: give --axis FIRST:LAST:keV, or --calibrate "
            "Fe-Ka=641,Cu-Ka=806"
        )
    calibration = found.calibration or Calibration()
    energy_C = calibration.energy(axis.values)
    low, high = float(energy_C[0]), float(energy_C[-1])
    shown = _on_axis(energy_C, calibration)
    labelled = [name for name in found_families(found) if name in shown]
    wanted = labelled if elements is None else _wanted(elements, shown, low, high)
    if not wanted:
        raise UserError("no lines of elements are found in the mean spectra; name the elements with --elements Fe,Pb-L")
    present = {name.element for name in [*labelled, *wanted]}
    beside = [
        n
        for n, family in shown.items()
        if n not in wanted
        and (n in labelled or (n.element in present and _main_energy(family, low, high) > _WINDOW_KEV))
    ]
    # What the anode has in common with the sample cannot be told from what is scattered.
    beside = [n for n in beside if not (n.element == found.tube and n.shell != "M")]
    names = [*wanted, *beside]
    mean_C = np.average(spectra_SC, axis=0, weights=pixels_S)
    fwhm_C = fwhm_kev(np.maximum(energy_C, 0), calibration.fwhm_mn_ev) / axis.widths()
    back_C = _smooth(snip(_smooth(mean_C, fwhm_C / 2), fwhm_C), fwhm_C)
    scatter = _scatter(found.tube, energy_C, calibration, axis)
    sums_C = sum_spectrum(np.maximum(mean_C - back_C, 0) / axis.widths(), energy_C) * axis.widths()
    sums = [sums_C / sums_C.sum()] if sums_C.sum() > 0 else []
    groups = [_Groups.of(shown[name], energy_C, calibration, axis) for name in names]
    model = SpectraModel(
        names=tuple(names),
        energies=tuple(_main_energy(shown[name], low, high) for name in names),
        asked=tuple(name in wanted for name in names),
        shape_EC=np.array([*(group.shape_C for group in groups), *sums]),
        back_BC=background_basis(back_C, energy_C, calibration.fwhm_mn_ev),
        variance_C=_variance(mean_C, fwhm_C),
        total=max(float(mean_C.sum()), 1e-300),
    )
    if scatter:
        model = replace(model, shape_EC=np.array([*model.shape_EC, *_merged(scatter, model, mean_C)]))
    model = _with_fitted_ratios(model, groups, spectra_SC, pixels_S)
    return _with_notes(model, found.tube)


def _on_axis(energy_C: Array, calibration: Calibration) -> dict[FamilyName, Family]:
    """Families most of whose photons lie on the axis, a full width of a peak from its ends."""
    low, high = float(energy_C[0]), float(energy_C[-1])
    found = {}
    for family in families():
        main = family.main(low, high)
        if main is None or sum(line.intensity for line in family.lines if low < line.energy < high) < _SHARE:
            continue
        width = float(fwhm_kev(np.array(main.energy), calibration.fwhm_mn_ev))
        if low + width < main.energy < high - width:
            found[FamilyName(family.element, family.shell)] = family
    return found


def _wanted(
    elements: Sequence[tuple[str, str | None]], shown: dict[FamilyName, Family], low: float, high: float
) -> list[FamilyName]:
    wanted = []
    for element, shell in elements:
        own = [name for name in shown if name.element == element and shell in (None, name.shell)]
        if not own:
            lines = [f for f in families() if f.element == element and shell in (None, f.shell)]
            if not lines:
                raise UserError(f"element '{element}-{shell}': it has no {shell} lines in the table")
            where = " and ".join(
                f"{f.element} {group_name(f.lines[0])} at {max(f.lines, key=lambda x: x.intensity).energy:.2f} keV"
                for f in lines
            )
            raise UserError(
                f"element '{element}': its lines ({where}) are not on the axis of {low:.2f} to {high:.2f} keV; "
                "leave it out of --elements"
            )
        wanted += [name for name in own if name not in wanted]
    return wanted


def _main_energy(family: Family, low: float, high: float) -> float:
    main = family.main(low, high)
    return main.energy if main is not None else family.lines[0].energy


@dataclass
class _Groups:
    """The lines of a family in groups whose ratios the table knows only roughly."""

    shape_GC: Array
    """(G, C) counts in each channel, with their escape peaks, for one count in all of the lines of the family."""
    share_G: Array
    """(G,) of the counts in the lines themselves."""
    error_G: Array
    """(G,) relative error of the ratios."""
    factor_G: Array
    """(G,) what they are multiplied by."""

    @classmethod
    def of(cls, family: Family, energy_C: Array, calibration: Calibration, axis: SpectralAxis) -> _Groups:
        part = family_part(family, energy_C, calibration.fwhm_mn_ev, price=0.0, rare=False)
        seen = [n for n, shape_C in enumerate(part.shape_GC) if shape_C.sum() > 0]
        density_GC = part.shape_GC[seen]
        counts_G = (density_GC * axis.widths()).sum(1)
        total = float(counts_G.sum())
        whole_GC = np.array([row + escape_spectrum(row, energy_C) for row in density_GC]) * axis.widths()
        return cls(whole_GC / total, counts_G / total, np.array(part.errors)[seen], np.ones(len(seen)))

    @property
    def shape_C(self) -> Array:
        """(C,) of the family, for one count in its lines."""
        return np.asarray(self.factor_G @ self.shape_GC / (self.factor_G @ self.share_G))


_RATIO_STEPS = 6
_RATIO_MODEL_ERROR = 0.01
"""Of the level in a channel: the shapes of peaks are known no better when the ratios of lines are fitted."""


def _with_fitted_ratios(
    model: SpectraModel, groups: list[_Groups], spectra_SC: Array, pixels_S: NDArray[np.int64]
) -> SpectraModel:
    """The shapes of the families with the ratios of their lines that fit all spectra best.

    Gauss-Newton steps on the factors of the groups, with the amounts in each spectrum eliminated (variable projection
    after Kaufman 1975) and the errors of the table's ratios as a prior.
    """
    from scipy.optimize import nnls

    owners = [(f, g) for f, group in enumerate(groups) if len(group.error_G) > 1 for g in range(len(group.error_G))]
    if not owners:
        return model
    families_ = len(groups)
    prior_G = np.array([1 / groups[f].error_G[g] ** 2 for f, g in owners])
    poisson_C = model.variance_C - (MODEL_ERROR * np.maximum(spectra_SC.mean(0), 0)) ** 2
    poisson_C = np.maximum(poisson_C, model.variance_C / 3)
    for _ in range(_RATIO_STEPS):
        shape_EC = np.array([*(group.shape_C for group in groups), *model.shape_EC[families_:]])
        normal = np.diag(prior_G)
        right_G = -prior_G * (np.array([groups[f].factor_G[g] for f, g in owners]) - 1)
        for spectrum_C, pixels in zip(spectra_SC, pixels_S, strict=True):
            scale = max(float(spectrum_C.sum()), 1e-300) / max(float(spectra_SC.mean(0).sum()), 1e-300)
            error_C = np.sqrt(poisson_C * scale / pixels + (_RATIO_MODEL_ERROR * scale) ** 2 * poisson_C**2)
            columns_NC = np.concatenate([shape_EC, model.back_BC]) / error_C
            length_N = np.sqrt((columns_NC**2).sum(1))
            kept = np.flatnonzero(length_N > 0)
            unit_NC = columns_NC[kept] / length_N[kept, None]
            amount_N, _ = nnls(unit_NC.T, spectrum_C / error_C, maxiter=3000)
            active = amount_N > 0
            basis, _ = np.linalg.qr(unit_NC[active].T)
            residual_C = spectrum_C / error_C - amount_N @ unit_NC
            amounts = np.zeros(len(columns_NC))
            amounts[kept] = amount_N / length_N[kept]
            slope_GC = np.array(
                [
                    amounts[f] * groups[f].shape_GC[g] / (groups[f].factor_G @ groups[f].share_G) / error_C
                    for f, g in owners
                ]
            )
            slope_GC = slope_GC - (slope_GC @ basis) @ basis.T
            normal += slope_GC @ slope_GC.T
            right_G = right_G + slope_GC @ residual_C
        change_G = np.linalg.solve(normal, right_G)
        for (f, g), change in zip(owners, change_G, strict=True):
            error = groups[f].error_G[g]
            changed = groups[f].factor_G[g] + float(np.clip(change, -error, error))
            groups[f].factor_G[g] = max(0.05, float(np.clip(changed, 1 - 3 * error, 1 + 3 * error)))
    return replace(model, shape_EC=np.array([*(group.shape_C for group in groups), *model.shape_EC[families_:]]))


def _scatter(tube: str | None, energy_C: Array, calibration: Calibration, axis: SpectralAxis) -> dict[str, list[Array]]:
    """(C,) each, sums of 1: the anode's lines by shell, scattered with their energy, or with less by some angle."""
    found: dict[str, list[Array]] = {}
    if tube is None:
        return found
    for part in scattered_parts(tube, energy_C, calibration.fwhm_mn_ev):
        shape_C = part.shape_GC.sum(0) * axis.widths()
        if shape_C.sum() > 0.01 * axis.widths().max():
            words = part.names[0].split()
            found.setdefault(f"{words[1][0]} {words[-1]}", []).append(shape_C / shape_C.sum())
    return found


def _merged(scatter: dict[str, list[Array]], model: SpectraModel, mean_C: Array) -> list[Array]:
    """One shape for each kind of scatter: its angles are those of the scanner, the same in all pixels.

    The shapes of several angles are nearly alike, and would only make the fit of each pixel slow and uncertain.
    """
    from scipy.optimize import nnls

    flat = [shape_C for shapes in scatter.values() for shape_C in shapes]
    columns_NC = np.concatenate([model.shape_EC, flat, model.back_BC]) / np.sqrt(model.variance_C)
    length_N = np.maximum(np.sqrt((columns_NC**2).sum(1)), 1e-300)
    amount_N = nnls((columns_NC / length_N[:, None]).T, mean_C / np.sqrt(model.variance_C), maxiter=3000)[0] / length_N
    place, found = len(model.shape_EC), []
    for shapes in scatter.values():
        own = amount_N[place : place + len(shapes)]
        place += len(shapes)
        if own.sum() > 0:
            found.append(own @ np.array(shapes) / own.sum())
    return found


def _smooth(values_C: Array, fwhm_C: Array) -> Array:
    """The mean over half a full width of a peak to either side."""
    total = np.concatenate([[0.0], np.cumsum(values_C)])
    half_C = np.maximum(0, np.round(fwhm_C / 2)).astype(int)
    place_C = np.arange(len(values_C))
    reach_C = np.minimum(half_C, np.minimum(place_C, len(values_C) - 1 - place_C))
    return np.asarray((total[place_C + reach_C + 1] - total[place_C - reach_C]) / (2 * reach_C + 1))


def _variance(mean_C: Array, fwhm_C: Array) -> Array:
    """Poisson variance of a mean pixel, by the mean over half a peak, and what shapes are wrong by."""
    level_C = _smooth(np.maximum(mean_C, 0), fwhm_C / 2)
    # Where hardly anything is counted the mean of the scan may be 0 by chance: no weight may be infinite.
    floor = max(1e-3 * float(level_C.mean()), 1e-300)
    return np.asarray(level_C + floor + (MODEL_ERROR * level_C) ** 2)


def _with_notes(model: SpectraModel, tube: str | None) -> SpectraModel:
    covariance_FF = np.linalg.pinv(_reduced(model)[0], hermitian=True)[: len(model.names), : len(model.names)]
    deviation_F = np.sqrt(np.diag(covariance_FF))
    notes = []
    for i, first in enumerate(model.names):
        for j in range(i + 1, len(model.names)):
            alike = -covariance_FF[i, j] / (deviation_F[i] * deviation_F[j])
            if alike > _OVERLAP and (model.asked[i] or model.asked[j]):
                notes.append(
                    f"{first} and {model.names[j]} can hardly be told apart (their amounts are correlated by "
                    f"{-alike:.2f}): believe their sum"
                )
    if tube is not None:
        anode = [str(n) for n, asked in zip(model.names, model.asked, strict=True) if asked and n.element == tube]
        notes += [f"{name} may be the tube's {tube}, scattered, as well as in the sample" for name in anode]
    return replace(model, notes=tuple(notes))


def _reduced(model: SpectraModel) -> tuple[Array, Array]:
    """Normal matrix (E, E) of what must not be negative, and (E, C) what makes its right side of a spectrum.

    The pieces of background have no limits, and are eliminated (Schur's complement).
    """
    weight_C = 1 / model.variance_C
    shape, back = model.shape_EC, model.back_BC
    gram_EE = (shape * weight_C) @ shape.T
    right_EC = shape * weight_C
    if len(back):
        back_BB = (back * weight_C) @ back.T
        cross_EB = (shape * weight_C) @ back.T
        taken_EB = cross_EB @ np.linalg.pinv(back_BB, hermitian=True)
        gram_EE = gram_EE - taken_EB @ cross_EB.T
        right_EC = right_EC - taken_EB @ (back * weight_C)
    return (gram_EE + gram_EE.T) / 2, right_EC


class Unmixer:
    """Amounts of elements in pixels, and their errors, by a model.

    Args:
        model: the shapes.
        unit_variance: variance of a value of 1: 1 for counts; for rates what `variance_per_unit` gives.
        signed: whether amounts may fall below zero: they are then without bias, and means over many pixels of an
            element that is not there come to zero.
    """

    def __init__(self, model: SpectraModel, unit_variance: float = 1.0, *, signed: bool = False) -> None:
        import torch

        self.model, self._signed = model, signed
        families_ = len(model.names)
        gram_EE, right_EC = _reduced(model)
        inverse_EE = np.linalg.pinv(gram_EE, hermitian=True)
        estimator_FC = (inverse_EE @ right_EC)[:families_]
        self._gram_EE = torch.from_numpy(gram_EE)
        self._right_CE = torch.from_numpy(right_EC.T.copy()).float()
        self._estimator_CF = torch.from_numpy(estimator_FC.T.copy()).float()
        self._variance_CF = torch.from_numpy((unit_variance * estimator_FC**2).T.copy()).float()
        # Where a pixel happens to have no count its variance is not 0: it is that of the background of the mean
        # spectrum for a pixel so bright, and 3/8 of a count in the lines (Anscombe 1948).
        level_C = np.maximum(model.back_BC.sum(0), 0) if len(model.back_BC) else np.zeros(len(model.variance_C))
        self._back_F = torch.from_numpy(unit_variance * (estimator_FC**2 @ level_C) / model.total).float()
        lines_F = (model.shape_EC[:families_] * estimator_FC**2).sum(1)
        self._least_F = torch.from_numpy(0.375 * unit_variance**2 * lines_F).float()

    def __call__(self, x_PC: Tensor) -> tuple[Tensor, Tensor]:
        """Amounts (F, P) in counts, and their standard deviations (F, P) by counting.

        Args:
            x_PC: (P, C) float32 spectra.
        """
        from deepspec.functional.nonnegative import nonnegative_least_squares

        seen_PC = x_PC.clamp(min=0)
        variance_PF = (seen_PC @ self._variance_CF).maximum(seen_PC.sum(1, keepdim=True) * self._back_F)
        variance_PF += self._least_F
        if self._signed:
            return (x_PC @ self._estimator_CF).T, variance_PF.sqrt().T
        right_EP = (x_PC @ self._right_CE).T.contiguous()
        amount_EP = nonnegative_least_squares(self._gram_EE.to(right_EP), right_EP)
        return amount_EP[: len(self.model.names)], variance_PF.sqrt().T


def variance_per_unit(x_PC: Array) -> float:
    """Variance of values over their level: 1 of counts, 1 / (seconds x gain) of rates.

    Judged by how neighbouring channels differ, after what the mean spectrum bends by is taken off; the median over the
    channels, for the few at peaks bend by more.

    Args:
        x_PC: (P, C) spectra of some pixels, finite.
    """
    mean_C = x_PC.mean(0)
    share_P = x_PC.sum(1) / max(float(mean_C.sum()), 1e-300)
    bend_PC = x_PC[:, :-2] - 2 * x_PC[:, 1:-1] + x_PC[:, 2:]
    mean_bend_C = mean_C[:-2] - 2 * mean_C[1:-1] + mean_C[2:]
    level_C = mean_C[:-2] + 4 * mean_C[1:-1] + mean_C[2:]
    seen = level_C > 0
    if not seen.any():
        return 1.0
    scatter_C = ((bend_PC - share_P[:, None] * mean_bend_C) ** 2).mean(0)
    return float(np.median(scatter_C[seen] / level_C[seen]))
