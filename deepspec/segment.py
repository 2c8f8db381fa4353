"""`python -m deepspec.segment CUBE... --checkpoint MODEL`: label the pixels of cubes by the clusters of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions, masks_of
from deepspec.errors import UserError
from deepspec.files import model_file
from deepspec.lines.label import LineOptions
from deepspec.workers.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.workers.segmenting import SegmentJob, SegmentOptions


def segment(
    cubes: list[str],
    checkpoint: str,
    out: str | None = None,
    clusters: Literal["frozen", "refit"] = "frozen",
    k: int | tuple[int, int] | None = None,
    clusterer: Literal["ikmeans", "valleys", "gmm", "hdbscan"] | None = None,
    firm: float | None = None,
    spatial: float | None = None,
    unassigned: bool | None = None,
    mask: str | list[str] | None = None,
    rebin: bool = False,
    scale: Literal["auto", "linear", "sqrt", "log"] = "auto",
    export: str = "auto",
    redshift: tuple[float, float] = (0.0, 0.0),
    sample: int = 32768,
    restarts: int = 3,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    *,
    sharing: Sharing,
    reading: CubeOptions,
    lines: LineOptions,
) -> None:
    """Segment cubes of any format that read_cube knows with a fitted model, and draw their clusters and spectra.

    Args:
        cubes: the files, or folders of them. Of several each is segmented on its own; those whose folder was made from
            the same files with the same options are kept, and one that fails does not stop the others.
        checkpoint: the model: a run folder, or its model.ckpt.
        out: folder for the results, default CUBE-segmentation in the current directory; of several cubes the folder
            that theirs are put into.
        clusters: frozen: the clusters of the training, with their numbers; refit: new ones found in each cube.
        k: how many clusters, or the fewest and most; with refit by default those that the training looked for, or what
            its clusterer finds. With frozen, how many clusters to cut the checkpoint's merge tree into.
        clusterer: of refit, what divides the pixels: ikmeans (K by silhouette), valleys (what no valley of density
            divides is one; finds K, which may be 1), gmm (Gaussian mixtures) or hdbscan; default that of the training.
        firm: of valleys, and of frozen clusters with a merge tree: a border is one if the valley ratio is below this,
            0 to 1; the lower, the fewer clusters.
        spatial: strength 0 to 1 of the prior that neighbouring pixels are alike; default .5 for clusters of counts, 0
            for others.
        unassigned: whether pixels that are like no cluster get label -1; default not for K-means, whose clusters reach
            everywhere.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY; one for all, a list with one for each cube, or with
            {name} for the name of each cube, as in masks/{name}.png.
        rebin: bring a cube on another axis onto that of the model.
        scale: of the intensities in the figures; auto is sqrt where peaks tower above the rest.
        export: what to write beside the segmentation and its figures, with commas between: report, tiff, fits, csv,
            msa, masks, memberships (probability of each cluster: a TIFF page of float32 per cluster, and a FITS cube
            with fits), svg, pdf, training, generated; auto: report, tiff, csv, and fits of a FITS cube; none; all.
        redshift: lowest and highest redshift at which to look for emission lines, for wavelengths.
        sample: pixels that refit clusters before refining on all.
        restarts: K-means runs for each number of clusters.
        seed: of everything random.
        device: cpu, cuda, or auto: cuda where there is one.
        overwrite: replace an earlier segmentation in `out`; of several cubes those made otherwise.
        sharing: where several cubes are segmented.
        reading: how each file is to be taken.
        lines: how peaks are found and named.
    """
    from deepspec.data.readers.folder import is_one_cube
    from deepspec.workers.segmenting import SegmentOptions

    options = SegmentOptions(
        checkpoint=str(model_file(checkpoint)),
        clusters=clusters,
        k=k,
        clusterer=clusterer,
        firm=firm,
        spatial=spatial,
        unassigned=unassigned,
        rebin=rebin,
        scale=scale,
        export=export,
        redshift=redshift,
        sample=sample,
        restarts=restarts,
        seed=seed,
        device=device,
        overwrite=overwrite,
        reading=reading,
        lines=lines,
    )
    one = len(cubes) == 1 and (not Path(cubes[0]).is_dir() or is_one_cube(cubes[0], reading.spatial_shape))
    jobs = _plan(cubes, mask, out, options, one=one)
    if one and not sharing.is_asked_for:
        _segment_one(jobs[0])
    else:
        sharing.run(jobs, device, "cubes")


def _plan(
    cubes: list[str], mask: str | list[str] | None, out: str | None, options: SegmentOptions, *, one: bool
) -> list[SegmentJob]:
    """A job for each cube, after all mistakes that can be told without torch, which takes seconds to import."""
    from deepspec.data.fingerprint import sha256_of
    from deepspec.data.readers.folder import cube_files
    from deepspec.reporting.outputs import parse_exports
    from deepspec.reporting.segmentation_folder import check_redshift
    from deepspec.workers.segmenting import SegmentJob

    files = cube_files(cubes, options.reading.spatial_shape)
    for file in files:
        if not Path(file).exists():
            raise UserError(f"{file}: no such file")
    checkpoint = Path(options.checkpoint)
    parse_exports(options.export, Path(files[0]), checkpoint)
    check_redshift(options.redshift)
    options.lines.check()
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
        SegmentJob(file, folder, image, options, sha256)
        for file, folder, image in zip(files, folders, masks_of(mask, files), strict=True)
    ]


def _segment_one(job: SegmentJob) -> None:
    from deepspec.files import claimed_folder
    from deepspec.progress import progress_bars
    from deepspec.reporting.segmentation_folder import check_segmentation_folder, print_segmentation

    check_segmentation_folder(Path(job.folder), job.options.redshift, overwrite=job.options.overwrite)
    with claimed_folder(Path(job.folder)):
        with progress_bars() as show:
            segmentation = job.segment(show)
        segmentation = job.save(segmentation, job.request())
    print_segmentation(segmentation, Path(job.folder))


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        segment,
        prog="python -m deepspec.segment",
        positional="cubes",
        many=True,
        args=args,
        groups={"sharing": Sharing, "reading": CubeOptions, "lines": LineOptions},
    )


if __name__ == "__main__":
    main()
