"""Element maps of X-ray scans: the lines of all elements fitted to every pixel, see `deepspec.lines.unmixing`.

Shapes: C channels, F families of lines, H rows, N pixels of a piece, P pixels, W columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from deepspec.errors import UserError
from deepspec.line_maps.result import LineMap, LineMaps
from deepspec.line_maps.spectra import PIECE_PIXELS, Passes
from deepspec.lines.label import LineOptions, identify
from deepspec.lines.unmixing import Unmixer, make_model, parse_elements, variance_per_unit
from deepspec.threads import in_threads, one_thread_per_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.data.cube import SpectralCube


def map_elements(
    cube: SpectralCube,
    elements: str | Sequence[str] | None = None,
    *,
    options: LineOptions | None = None,
    parts: NDArray[np.integer] | None = None,
    signed: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> LineMaps:
    """How much of each element every pixel of an X-ray scan shows, with overlapping lines told apart.

    The lines of all elements, the background and what the tube scatters are fitted to each pixel together: non-negative
    least squares with the Poisson weights of the mean spectrum. Energies and widths are those that the lines of the
    mean spectra fit best, so that an axis that is off by 100 eV does no harm. The cube is read twice, in bounded
    memory.

    Args:
        cube: an open cube with an energy axis.
        elements: symbols, as in "Fe,Pb-L" or ["Fe", "Pb-L"]; default those whose lines are found in the mean spectra.
        options: what else is known about the measurement.
        parts: (H, W) numbers from 0, -1 for none, such as the labels of clusters: lines are looked for in the mean
            spectrum of each part; default tiles of the image.
        signed: let amounts be negative: then means over many pixels have no bias, see `Unmixer`.
        progress: called with the name of the pass, the pixels done and all.

    Returns:
        A map for each family of lines (K, L or M shell of an element): the counts in its lines on the axis, and their
        standard deviation.

    Raises:
        UserError: the axis has no energies, an element is unknown or has no lines on it, or nothing is found.
    """
    options = options or LineOptions()
    options.check()
    wanted = None if elements is None else parse_elements(elements)
    if cube.axis.unit != "keV":
        raise UserError(
            f"{cube.path or 'the cube'}: element maps need an energy axis, and it has {cube.axis}: give "
            "--axis FIRST:LAST:keV, or --calibrate Fe-Ka=641,Cu-Ka=806 with lines and the channels of their peaks"
        )
    passes = Passes(cube, progress)
    seen = passes.overview(parts)
    found = identify(seen.spectra_SC, passes.axis, options=options)
    model = make_model(seen.spectra_SC, seen.pixels_S, passes.axis, found, elements=wanted)
    per_unit = 1.0 if seen.counts else variance_per_unit(seen.sample_MC)
    unmix = Unmixer(model, per_unit, signed=signed)
    shape = (len(model.names), cube.mask.size)
    values_FP, errors_FP = (np.full(shape, np.nan, np.float32) for _ in range(2))

    def work(piece: tuple[NDArray[np.intp], Tensor]) -> tuple[NDArray[np.intp], Tensor, Tensor]:
        place_N, x_NC = piece
        return place_N, *unmix(x_NC.float())

    with one_thread_per_operation() as threads:
        for place_N, values_FN, errors_FN in in_threads(work, _pieces(passes), threads):
            values_FP[:, place_N] = values_FN.numpy()
            errors_FP[:, place_N] = errors_FN.numpy()
    unit = "counts" if seen.counts else str(cube.metadata.get("BUNIT", "") or "as measured")
    maps = [
        LineMap(
            str(name),
            f"{name.shell} lines of {name.element}",
            unit,
            energy,
            values_P.reshape(cube.mask.shape),
            errors_P.reshape(cube.mask.shape),
        )
        for name, energy, asked, values_P, errors_P in zip(
            model.names, model.energies, model.asked, values_FP, errors_FP, strict=True
        )
        if asked
    ]
    notes = list(model.notes)
    if found.calibration is not None and elements is not None:
        notes += _not_seen(maps)
    result = LineMaps("elements", tuple(maps), "keV", tuple(notes))
    said = "non-negative" if not signed else "signed"
    tube = found.tube or ("none found" if options.tube is None else options.tube)
    return replace(result, origin={"fit": f"least squares, {said}, weights of the mean spectrum", "tube": tube})


def _not_seen(maps: Sequence[LineMap]) -> list[str]:
    """A note for each map that shows nothing: no pixel, nor the mean, above three standard deviations."""
    notes = []
    for each in maps:
        known = np.isfinite(each.values)
        mean = float(each.values[known].mean())
        error = float(np.sqrt((each.errors[known].astype(float) ** 2).mean() / known.sum()))
        # Amounts that may not be negative have a mean of 0.4 standard deviations where nothing is.
        bias = 0.4 * float(each.errors[known].mean())
        if mean < bias + 3 * error and not (each.values[known] > 5 * each.errors[known]).any():
            notes.append(f"{each.name}: nothing above the noise, neither in a pixel nor in the mean")
    return notes


def _pieces(passes: Passes) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
    """Numbers of pixels and their spectra (N, C) as stored."""
    columns, channels = passes.cube.shape[1:]
    for where, x_nWC, usable_nW in passes.blocks("element maps"):
        x_PC, usable_P = x_nWC.reshape(-1, channels), usable_nW.ravel()
        first = where.start * columns
        for start in range(0, len(x_PC), PIECE_PIXELS):
            own_P = usable_P[start : start + PIECE_PIXELS]
            if own_P.any():
                x = x_PC[start : start + PIECE_PIXELS]
                x = np.ascontiguousarray(x if own_P.all() else x[own_P])
                if x.dtype.kind == "u" and x.dtype.itemsize > 1:  # of which torch has no arithmetic
                    x = x.astype(np.float32)
                yield first + start + np.flatnonzero(own_P), torch.from_numpy(x)
