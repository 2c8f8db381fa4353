"""The folder of a segmentation, as `segment` and `baseline` write it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deepspec.data.fingerprint import with_files, write_request
from deepspec.errors import UserError
from deepspec.files import SEGMENTATION, check_result_folder, complete_folder
from deepspec.line_maps import map_lines
from deepspec.lines import LineOptions, identify, refined_axis, scattered_channels, sentences
from deepspec.reporting.outputs import output_names, write_outputs
from deepspec.segmentation.scatter import scatter_note
from deepspec.segmentation.statistics import cluster_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from deepspec.data.cube import SpectralCube
    from deepspec.drawing import Scale
    from deepspec.lines import Identification
    from deepspec.segmentation import Segmentation


def check_segmentation_folder(folder: Path, redshift: tuple[float, float], *, overwrite: bool) -> None:
    """Refuse, before anything is worked out, what could not be written in the end.

    Args:
        folder: to write to.
        redshift: lowest and highest.
        overwrite: whether an earlier segmentation may be replaced.

    Raises:
        UserError: the folder must not be written to, the redshifts make no sense, or a figure of another package
            cannot be loaded.
    """
    check_redshift(redshift)
    check_result_folder(folder, output_names() | {SEGMENTATION}, "a segmentation", overwrite=overwrite)


def check_redshift(redshift: tuple[float, float]) -> None:
    """Refuse redshifts, lowest and highest, that make no sense.

    Raises:
        UserError: saying what is expected.
    """
    if not -0.1 <= redshift[0] <= redshift[1]:
        raise UserError(f"redshift: expected -0.1 <= lowest <= highest, got {redshift[0]:g} and {redshift[1]:g}")


def save_segmentation_folder(
    segmentation: Segmentation,
    folder: Path,
    *,
    exports: frozenset[str],
    scale: Scale,
    redshift: tuple[float, float],
    dataset: str | None,
    options: Mapping[str, object],
    request: Mapping[str, object] | None = None,
    lines: LineOptions | None = None,
    calibratable: bool = True,
) -> Segmentation:
    """Write the segmentation, its figures and exports.

    Args:
        segmentation: what to write.
        folder: which appears when everything is in it; what it held before is replaced.
        exports: as `write_outputs`, like all below.
        scale: of the intensities in the figures.
        redshift: lowest and highest, to name emission lines at.
        dataset: extension of the cube in a FITS file.
        options: of the command, for the report.
        request: what a later run compares with what it is asked for.
        lines: how peaks are found and named.
        calibratable: whether the channels are those of the file, for the hint to put the axis right.

    Returns:
        The segmentation as it was written: with what its lines say among the notes, and on the refined axis where that
        is asked for.
    """
    segmentation, found = with_lines(segmentation, redshift, lines or LineOptions(), calibratable=calibratable)
    with complete_folder(folder) as part:
        segmentation.save(part / SEGMENTATION)
        write_outputs(
            segmentation,
            part,
            exports=exports,
            scale=scale,
            redshift=redshift,
            dataset=dataset,
            options=options,
            labels=found.labels,
        )
        if request is not None:
            write_request(part / SEGMENTATION, with_files(request, part))
    return segmentation


def with_lines(
    segmentation: Segmentation, redshift: tuple[float, float], options: LineOptions, *, calibratable: bool = True
) -> tuple[Segmentation, Identification]:
    """Name the peaks of the clusters, and add to a segmentation what they say about it.

    Args:
        segmentation: which.
        redshift: lowest and highest, to name emission lines at.
        options: how peaks are found and named; with `refine_axis`, the energies of the segmentation are put right.
        calibratable: whether the channels are those of the file.

    Returns:
        The segmentation, and the names on its axis.
    """
    axis = segmentation.axis
    found = identify(segmentation.mean_raw, axis, redshift=redshift, options=options)
    said = sentences(found, axis, calibratable=calibratable)
    if options.refine_axis and found.calibration is not None and said:
        calibration = found.calibration
        said = (*(text for text in said if not text.startswith("warning")), "the energy axis was refined by it")
        segmentation = replace(
            segmentation,
            axis=refined_axis(axis, calibration),
            decoded_axis=refined_axis(segmentation.decoded_axis, calibration),
            measured_axis=axis,
        )
        found = identify(segmentation.mean_raw, segmentation.axis, redshift=redshift, options=options)
    segmentation, driven = _with_scatter(segmentation, found.tube)
    return replace(segmentation, notes=(*segmentation.notes, *driven, *said)), found


def _with_scatter(segmentation: Segmentation, tube: str | None) -> tuple[Segmentation, tuple[str, ...]]:
    """Where the tube's lines are scattered, and a sentence if that drives a border."""
    axis, used = segmentation.axis, segmentation.sizes > 0
    if segmentation.borders is None or tube is None or axis.values[0] > axis.values[-1]:
        return segmentation, ()
    mean_C = np.average(segmentation.mean_raw[used], axis=0, weights=segmentation.sizes[used])
    known = scattered_channels(axis, mean_C, tube)
    if known is None:
        return segmentation, ()
    segmentation = replace(segmentation, scattered=known[1])
    note = scatter_note(segmentation.border_scatter, tube)
    return segmentation, (note,) if note else ()


def with_statistics(
    segmentation: Segmentation, cube: SpectralCube, progress: Callable[[str, int, int], None] | None = None
) -> Segmentation:
    """Add what the spectra of each cluster scatter by; the cube is read once more.

    Args:
        segmentation: of the cube.
        cube: open.
        progress: called with the name of the pass, the pixels done and all.
    """
    made = cluster_statistics(
        cube,
        segmentation.labels,
        segmentation.k,
        channels=segmentation.axis.channels,
        seed=segmentation.provenance.seed,
        progress=progress,
    )
    return replace(segmentation, statistics=made)


def with_maps(
    segmentation: Segmentation,
    cube: SpectralCube,
    asked: str | None,
    *,
    redshift: tuple[float, float] = (0.0, 0.0),
    lines: LineOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Segmentation:
    """Add maps of elements or emission lines to a segmentation.

    Args:
        segmentation: of the cube.
        cube: open.
        asked: `found`, names with commas between, or None for no maps.
        redshift: lowest and highest, for emission lines.
        lines: how lines are found.
        progress: called with the name of the pass, the pixels done and all.

    Raises:
        UserError: a name is unknown or not on the axis, the axis has neither energies nor fine wavelengths, or nothing
            is found.
    """
    if asked is None or asked == "none":
        return segmentation
    names = None if asked == "found" else asked
    of_gas = cube.axis.unit not in ("keV", "channel")
    made = map_lines(
        cube,
        None if of_gas else names,
        lines=names if of_gas else None,
        redshift=redshift,
        options=lines,
        parts=segmentation.labels,
        progress=progress,
    )
    return replace(segmentation, line_maps=made, notes=(*segmentation.notes, *(f"maps: {n}" for n in made.notes)))


def segmentation_summary(segmentation: Segmentation, folder: Path) -> list[str]:
    """Lines to print: what was found, and the files that hold it."""
    sizes = zip(segmentation.cluster_names, segmentation.sizes.tolist(), strict=True)
    return [
        segmentation.headline,
        *(f"  {name}, {size} pixels" for name, size in sizes),
        segmentation.structure.sentence,
        *([segmentation.retraining] if segmentation.retraining else []),
        *segmentation.notes,
        *(f"wrote {path}" for path in sorted(folder.iterdir())),
    ]
