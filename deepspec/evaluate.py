"""`deepspec evaluate SEGMENTATION... --reference PICTURE_OR_LABELS`: how good is a segmentation?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.command import run_command
from deepspec.data.cube_options import NAME, CubeOptions
from deepspec.errors import UserError
from deepspec.evaluation.options import EvaluateOptions
from deepspec.files import model_file
from deepspec.workers.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.workers.evaluating import EvaluateJob, EvaluateRequest


def evaluate(
    segmentations: list[str],
    reference: str | None = None,
    mask: str | None = None,
    out: str | None = None,
    each: bool = False,
    *,
    options: EvaluateOptions,
    sharing: Sharing,
    reading: CubeOptions,
) -> None:
    """Compare a segmentation with a picture, a label map or another segmentation, and with itself refitted.

    Several segmentations are each compared with one reference, in a table; where they are of cubes that `synthesize
    degrade` added noise to, the scores are drawn against the noise, with a line for each method. With a reference for
    each, without one, or with --each they are evaluated one by one, in as many processes as there shall be.

    Args:
        segmentations: what `segment` or `baseline` wrote: its folder, its file segmentation.h5, or a folder of such
            folders.
        reference: picture whose colours are clustered, or label map (PNG, TIFF, NPY, HDF5, FITS, MATLAB), or another
            segmentation; FILE or FILE:KEY. Without a reference only
            the silhouette, the criteria for K and the stability are computed. {name} in it stands for
            the name of each segmentation's folder without -segmentation, as in labels/{name}.png.
        mask: image of the pixels that count (nonzero), FILE or FILE:KEY, which may have {name} too.
        out: folder for the results; default SEGMENTATION-evaluation in the current directory. If several are evaluated
            one by one, the folder in which each gets a folder of its own; if several are put into a table, default
            evaluation.
        each: evaluate several segmentations one by one against a single reference, instead of in one table.
        options: how they are evaluated.
        sharing: where several are evaluated one by one.
        reading: how the cube is to be taken, as it was when it was segmented.
    """
    from deepspec.workers.evaluating import EvaluateRequest, segmentation_files

    if options.checkpoint is not None:
        options = replace(options, checkpoint=str(model_file(options.checkpoint)))
    request = EvaluateRequest(options, reading)
    files = segmentation_files(segmentations)
    one = len(files) == 1 and not each and not sharing.is_asked_for
    of_their_own = any(NAME in text for text in (reference, mask) if text is not None)
    in_a_table = len(files) > 1 and not each and reference is not None and not of_their_own
    if in_a_table and sharing.is_asked_for:
        raise UserError(
            "--workers, --devices and --dask are for segmentations that are evaluated one by one: add --each, or "
            f"give each its reference with {NAME}"
        )
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from deepspec.reporting.evaluation import parse_formats

    parse_formats(options.export)
    if in_a_table:
        _evaluate_in_a_table(files, str(reference), mask, Path(out or "evaluation"), request)
        return
    jobs = _plan(files, reference, mask, out, request, one=one)
    if one:
        _evaluate_one(jobs[0])
    else:
        _evaluate_each(jobs, Path(out or ""), sharing)


def _plan(
    files: Sequence[str],
    reference: str | None,
    mask: str | None,
    out: str | None,
    request: EvaluateRequest,
    *,
    one: bool,
) -> list[EvaluateJob]:
    """A job for each segmentation, each with a folder of its own."""
    from deepspec.workers.evaluating import EvaluateJob, name_of

    folders = [f"{name_of(file)}-evaluation" for file in files]
    folders = [out] if one and out is not None else [str(Path(out or "", folder)) for folder in folders]
    for number, folder in enumerate(folders):
        if (first := folders.index(folder)) < number:
            raise UserError(
                f"{files[first]} and {files[number]} would both be evaluated in {folder}; evaluate them apart, "
                "each with its own --out"
            )
    scans = [name_of(file).removesuffix("-segmentation") for file in files]
    return [
        EvaluateJob(file, folder, _named(reference, scan), _named(mask, scan), request)
        for file, folder, scan in zip(files, folders, scans, strict=True)
    ]


def _named(text: str | None, scan: str) -> str | None:
    return None if text is None else text.replace(NAME, scan)


def _evaluate_one(job: EvaluateJob) -> None:
    from deepspec.evaluation.result import summary
    from deepspec.files import check_result_folder, claimed_folder
    from deepspec.progress import progress_bars
    from deepspec.reporting.evaluation import evaluation_names

    check_result_folder(Path(job.folder), evaluation_names(), "an evaluation", overwrite=job.asked.options.overwrite)
    with claimed_folder(Path(job.folder)):
        with progress_bars() as show:
            evaluation, segmentation = job.evaluate(show)
        job.save(evaluation, segmentation)
    _say(summary(evaluation), Path(job.folder))


def _evaluate_each(jobs: Sequence[EvaluateJob], out: Path, sharing: Sharing) -> None:
    from deepspec.evaluation.files import write_overview
    from deepspec.files import SCORES

    try:
        sharing.run(jobs, jobs[0].asked.options.device, "segmentations")
    finally:  # also of those that were done before it was stopped, or another failed
        if rows := write_overview([Path(job.folder) for job in jobs if job.is_done], out / SCORES):
            print(f"wrote {out / SCORES}, a row for each of {rows} evaluations")


def _evaluate_in_a_table(
    files: Sequence[str], reference: str, mask: str | None, folder: Path, request: EvaluateRequest
) -> None:
    from deepspec.evaluation import compare_segmentations
    from deepspec.evaluation.series import series_summary, write_series
    from deepspec.files import check_result_folder, complete_folder
    from deepspec.reporting.evaluation import evaluation_names, parse_formats, save_series_figures
    from deepspec.segmentation import Segmentation
    from deepspec.segmentation.model import choose_device
    from deepspec.workers.evaluating import read_mask_of

    options = request.options
    check_result_folder(folder, evaluation_names(), "an evaluation", overwrite=options.overwrite)
    found = [Segmentation.load(file) for file in files]
    classes = request.classes(reference)
    entries, notes = compare_segmentations(
        list(zip(files, found, strict=True)),
        classes,
        cubes=None if options.cube == "none" else options.cube,
        mask=None if mask is None else read_mask_of(mask, found[0]),
        resample=options.resample,
        alpha=options.alpha,
        beta=options.beta,
        seed=options.seed,
        device=choose_device(options.device),
    )
    with complete_folder(folder) as part:
        write_series(entries, notes, classes, part)
        left_out = save_series_figures(entries, part, parse_formats(options.export))
    _say(series_summary(entries, (*notes, *left_out)), folder)


def _say(lines: Sequence[str], folder: Path) -> None:
    print("\n".join(lines))
    for path in sorted(folder.iterdir()):
        print(f"wrote {path}")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        evaluate,
        prog="deepspec evaluate",
        positional="segmentations",
        many=True,
        args=args,
        groups={"options": EvaluateOptions, "sharing": Sharing, "reading": CubeOptions},
    )


if __name__ == "__main__":
    main()
