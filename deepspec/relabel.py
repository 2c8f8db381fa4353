"""`deepspec relabel SEGMENTATION --edits edits.yaml`: name, merge, drop and split clusters by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError
from deepspec.files import SEGMENTATION, check_result_folder, claimed_folder, complete_folder
from deepspec.lines.label import LineOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.segmentation import Segmentation
    from deepspec.segmentation.edits import Edits


def relabel(
    segmentation: str,
    edits: str,
    out: str | None = None,
    cube: str | None = None,
    mask: str | None = None,
    scale: Literal["auto", "linear", "sqrt", "log"] = "auto",
    export: str = "auto",
    redshift: tuple[float, float] = (0.0, 0.0),
    overwrite: bool = False,
    *,
    reading: CubeOptions,
    lines: LineOptions,
) -> None:
    """Edit the clusters of a segmentation by a YAML file, and write it with its figures, exports and report.

    Args:
        segmentation: folder that `segment` or `baseline` wrote, or its segmentation.h5; it stays as it is.
        edits: YAML file with some of the keys name, colour, merge, drop, split, lock and unlock, as in
            docs/segmenting.md; the numbers are those of the clusters before.
        out: folder for the result; default NAME-relabelled in the current directory.
        cube: file of the cube, which a split reads again; default the one that was segmented.
        mask: image of valid pixels, for a split: FILE or FILE:KEY.
        scale: scale of the intensity axis in the figures.
        export: what to write beside the segmentation and its figures, as for `segment`.
        redshift: lowest and highest redshift at which emission lines are named.
        overwrite: replace an earlier segmentation in `out`.
        reading: how the cube is to be taken, for a split.
        lines: how peaks are found and named.
    """
    from deepspec.reporting.outputs import output_names, parse_exports, write_outputs
    from deepspec.reporting.segmentation_folder import check_redshift, segmentation_summary
    from deepspec.segmentation import Segmentation
    from deepspec.segmentation.edits import read_edits, relabel_segmentation

    file = segmentation_file(segmentation)
    wanted = read_edits(edits)
    check_redshift(redshift)
    lines.check()
    before = Segmentation.load(file)
    checkpoint = Path(before.provenance.checkpoint) if before.provenance.checkpoint else None
    exports = parse_exports(export, Path(before.provenance.cube), checkpoint)
    name = file.absolute().parent.name.removesuffix("-segmentation")
    folder = Path(out or f"{name}-relabelled")
    check_result_folder(folder, output_names() | {SEGMENTATION}, "a segmentation", overwrite=overwrite)
    with claimed_folder(folder):
        if wanted.split:
            made = _with_splits(before, wanted, cube, mask, reading)
        else:
            made = relabel_segmentation(before, wanted)
        from deepspec.lines import identify

        labels = identify(made.mean_raw, made.axis, redshift=redshift, options=lines).labels
        shown = {"segmentation": segmentation, "edits": edits, "out": str(folder)}
        with complete_folder(folder) as part:
            made.save(part / SEGMENTATION)
            write_outputs(
                made,
                part,
                exports=exports,
                scale=scale,
                redshift=redshift,
                dataset=reading.dataset,
                options=shown,
                labels=labels,
            )
    print("\n".join(segmentation_summary(made, folder)))


def segmentation_file(path: str) -> Path:
    """The segmentation.h5 that a path means: that of a folder, or the file itself.

    Raises:
        UserError: there is none.
    """
    file = Path(path, SEGMENTATION) if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise UserError(
            f"{file}: no such segmentation; `segment` and `baseline` write {SEGMENTATION} into their folder"
        )
    return file


def _with_splits(
    before: Segmentation, wanted: Edits, cube: str | None, mask: str | None, reading: CubeOptions
) -> Segmentation:
    """The edits with what a split needs: the model, and the cube as it was read."""
    from deepspec.data.recorded_reading import open_as_recorded
    from deepspec.models import SpectralModel
    from deepspec.progress import progress_bars
    from deepspec.segmentation.edits import relabel_segmentation

    origin = before.provenance
    path = cube or origin.cube
    if not origin.checkpoint:
        return relabel_segmentation(before, wanted)  # which says that a baseline has no model
    if not path or not Path(path).exists():
        raise UserError(f"split: the cube {path or 'was in memory, and'} is not there; give it with --cube FILE")
    model = SpectralModel.load(origin.checkpoint)
    with open_as_recorded(model.reading, reading, path, mask, model.axis) as opened, progress_bars() as show:
        return relabel_segmentation(before, wanted, cube=opened, model=model, progress=show)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        relabel,
        prog="deepspec relabel",
        positional="segmentation",
        args=args,
        groups={"reading": CubeOptions, "lines": LineOptions},
    )


if __name__ == "__main__":
    main()
