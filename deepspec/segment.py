"""`deepspec segment CUBE... --checkpoint MODEL`: label the pixels of cubes by the clusters of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions, masks_of
from deepspec.errors import UserError
from deepspec.files import model_file
from deepspec.lines.label import LineOptions
from deepspec.segmentation.options import ResultOptions, SegmentOptions
from deepspec.workers.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.workers.segmenting import SegmentJob, SegmentRequest


def segment(
    cubes: list[str],
    checkpoint: str,
    out: str | None = None,
    mask: str | list[str] | None = None,
    *,
    options: SegmentOptions,
    results: ResultOptions,
    sharing: Sharing,
    reading: CubeOptions,
    lines: LineOptions,
) -> None:
    """Segment cubes of any format that read_cube knows with a fitted model, and draw their clusters and spectra.

    Args:
        cubes: the files, or folders of them. Of several each is segmented on its own; those whose folder was made from
            the same files with the same options are kept, and one that fails does not stop the others.
        checkpoint: the model: a run folder, its model.ckpt, or a ready model that comes with deepspec, such as
            pretrained:xrf, which needs --clusters refit.
        out: folder for the results; default CUBE-segmentation in the current directory. If there are several cubes, the
            folder in which each gets a folder NAME-segmentation.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY; one for all, a list with one for each cube, or with
            {name} for the name of each cube, as in masks/{name}.png.
        options: what clusters are looked for, and how pixels are labelled.
        results: how the folder is written.
        sharing: where several cubes are segmented.
        reading: how each file is to be taken.
        lines: how peaks are found and named.
    """
    from deepspec.data.readers.folder import is_one_cube
    from deepspec.workers.segmenting import SegmentRequest

    request = SegmentRequest(str(model_file(checkpoint)), options, results, reading, lines)
    one = len(cubes) == 1 and (not Path(cubes[0]).is_dir() or is_one_cube(cubes[0], reading.spatial_shape))
    jobs = _plan(cubes, mask, out, request, one=one)
    if one and not sharing.is_asked_for:
        _segment_one(jobs[0])
    else:
        sharing.run(jobs, options.device, "cubes")


def _plan(
    cubes: list[str], mask: str | list[str] | None, out: str | None, request: SegmentRequest, *, one: bool
) -> list[SegmentJob]:
    """A job for each cube, after all mistakes that can be told without torch, which takes seconds to import."""
    from deepspec.data.fingerprint import sha256_of
    from deepspec.data.readers.folder import cube_files
    from deepspec.reporting.outputs import parse_exports
    from deepspec.reporting.segmentation_folder import check_redshift
    from deepspec.workers.segmenting import SegmentJob

    files = cube_files(cubes, request.reading.spatial_shape)
    for file in files:
        if not Path(file).exists():
            raise UserError(f"{file}: no such file")
    checkpoint = Path(request.checkpoint)
    parse_exports(request.results.export, Path(files[0]), checkpoint)
    check_redshift(request.results.redshift)
    _check_names(request)
    request.lines.check()
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such checkpoint; `fit` writes model.ckpt into its run folder")
    sha256 = sha256_of(checkpoint)
    folders = (
        [out] if one and out is not None else [str(Path(out or "", f"{Path(f).stem}-segmentation")) for f in files]
    )
    for number, folder in enumerate(folders):
        if (first := folders.index(folder)) < number:
            raise UserError(
                f"{files[first]} and {files[number]} would both be written to {folder}; segment them apart, "
                "each with its own --out"
            )
    return [
        SegmentJob(file, folder, image, request, sha256)
        for file, folder, image in zip(files, folders, masks_of(mask, files), strict=True)
    ]


def _check_names(request: SegmentRequest) -> None:
    """Refuse names that cannot be read, or for clusters that they cannot go with."""
    names = request.results.names
    if names is None:
        return
    from deepspec.files import SEGMENTATION

    if request.options.clusters != "frozen":
        raise UserError(
            "names: they go with the frozen clusters of a checkpoint; leave out --clusters refit or --names"
        )
    file = Path(names, SEGMENTATION) if Path(names).is_dir() else Path(names)
    if not file.is_file():
        raise UserError(f"names: {file}: no such segmentation; `relabel` writes one")


def _segment_one(job: SegmentJob) -> None:
    from deepspec.files import claimed_folder
    from deepspec.progress import progress_bars
    from deepspec.reporting.segmentation_folder import check_segmentation_folder, segmentation_summary

    results = job.asked.results
    check_segmentation_folder(Path(job.folder), results.redshift, overwrite=results.overwrite)
    with claimed_folder(Path(job.folder)):
        with progress_bars() as show:
            segmentation = job.segment(show)
        segmentation = job.save(segmentation, job.request())
    print("\n".join(segmentation_summary(segmentation, Path(job.folder))))


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        segment,
        prog="deepspec segment",
        positional="cubes",
        many=True,
        args=args,
        groups={
            "options": SegmentOptions,
            "results": ResultOptions,
            "sharing": Sharing,
            "reading": CubeOptions,
            "lines": LineOptions,
        },
    )


if __name__ == "__main__":
    main()
