"""`python -m deepspec.evaluate SEGMENTATION... --reference PICTURE_OR_LABELS`: how good is a segmentation?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError
from deepspec.result_folder import check_result_folder, complete_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.evaluation import Evaluation, Reference
    from deepspec.evaluation.series import Entry
    from deepspec.segmentation import Segmentation


def evaluate(
    segmentations: list[str],
    reference: str | None = None,
    kind: Literal["auto", "image", "labels"] = "auto",
    ignore: int | None = None,
    mapping: str | None = None,
    mask: str | None = None,
    resample: bool = False,
    cube: str | None = None,
    checkpoint: str | None = None,
    k: tuple[int, int] = (3, 10),
    refits: int = 20,
    alpha: float = 0.7,
    beta: float = 0.3,
    export: str = "none",
    seed: int = 0,
    out: str | None = None,
    overwrite: bool = False,
    *,
    reading: CubeOptions,
) -> None:
    """Compare a segmentation with a picture, a label map or another segmentation, and with itself refitted.

    Several segmentations are each compared with one reference, in a table; where they are of cubes that `synthesize
    degrade` added noise to, the scores are drawn against the noise, with a line for each method.

    Args:
        segmentations: what `segment` or `baseline` wrote: its folder or its file segmentation.h5.
        reference: picture whose colours are clustered, or label map (PNG, TIFF, NPY, HDF5, FITS, MATLAB), or another
            segmentation; FILE or FILE:KEY. Without one, only what needs none is worked out.
        kind: image or labels, where the reference is taken for the wrong one.
        ignore: value of the label map that means no class, such as 0.
        mapping: YAML file that merges classes which cannot be told apart, with lines like 'iron earths: [4, 7]'.
        mask: image of the pixels that count (nonzero), FILE or FILE:KEY.
        resample: take the nearest pixels of a reference that has another size.
        cube: where the cube is now, its file or the folder that holds it; default where it was when it was segmented.
            It is read once more, for silhouette, Davies-Bouldin and Calinski-Harabasz of its preprocessed spectra;
            none leaves these out, and so does a cube that is not found.
        checkpoint: where the checkpoint is now, whose preprocessing these need; default where it was.
        k: fewest and most clusters, of the picture's colours and of the criteria for K.
        refits: on resampled pixels, for the stability; 0 leaves it out.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives in the Tversky index.
        export: the figures as vector graphics too: svg, pdf, or both with a comma; none.
        seed: of everything random.
        out: folder for the results; default SEGMENTATION-evaluation in the current directory, or evaluation for
            several.
        overwrite: replace an earlier evaluation in `out`.
        reading: how the cube is to be taken, as it was when it was segmented.
    """
    files = [_file(segmentation) for segmentation in segmentations]
    folder = Path(out) if out is not None else Path(_default_folder(files))
    if min(refits, alpha, beta) < 0 or refits == 1:
        raise UserError("refits: expected 0 or at least 2; alpha and beta: expected at least 0")
    if len(files) > 1 and reference is None:
        raise UserError("several segmentations are compared with one reference: give --reference")
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from deepspec.evaluation import compare_segmentations, evaluate_segmentation, fit_to_shape
    from deepspec.reporting.evaluation import FILES, parse_formats
    from deepspec.segmentation import Segmentation

    formats = parse_formats(export)
    check_result_folder(folder, FILES, "an evaluation", overwrite=overwrite)
    found = [Segmentation.load(file) for file in files]
    classes = None if reference is None else _read(reference, kind, ignore, mapping, k, seed)
    counts = None if mask is None else _read_mask(mask, found[0])
    if classes is not None and len(found) > 1:
        entries, notes = compare_segmentations(
            list(zip(map(str, files), found, strict=True)),
            classes,
            cubes=None if cube == "none" else cube,
            mask=counts,
            resample=resample,
            alpha=alpha,
            beta=beta,
            seed=seed,
        )
        _write_several(entries, notes, classes, folder, formats)
        return
    rows, columns = found[0].labels.shape
    if classes is not None:
        classes = fit_to_shape(classes, (rows, columns), resample=resample)
    result = evaluate_segmentation(
        found[0], classes, mask=counts, k=k, refits=refits, alpha=alpha, beta=beta, seed=seed
    )
    if cube != "none":
        result = _with_input_space(result, found[0], reading, cube, checkpoint, seed)
    _write_one(result, found[0], str(files[0]), folder, formats)


def _file(segmentation: str) -> Path:
    path = Path(segmentation)
    file = path / "segmentation.h5" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such segmentation; `segment` writes segmentation.h5 into its output folder")
    return file


def _default_folder(files: Sequence[Path]) -> str:
    if len(files) > 1:
        return "evaluation"
    (file,) = files
    name = file.parent.absolute().name if file.name == "segmentation.h5" else file.stem
    return f"{name}-evaluation"


def _read(
    source: str,
    kind: Literal["auto", "image", "labels"],
    ignore: int | None,
    mapping: str | None,
    k: tuple[int, int],
    seed: int,
) -> Reference:
    from deepspec.evaluation import merge_classes, read_mapping, read_reference

    classes = read_reference(source, kind=kind, ignore=ignore, k=k, seed=seed)
    return classes if mapping is None else merge_classes(classes, read_mapping(mapping))


def _read_mask(mask: str, segmentation: Segmentation) -> NDArray[np.bool_]:
    from deepspec.data.pixels import read_mask

    rows, columns = segmentation.labels.shape
    return read_mask(mask, (rows, columns))


def _with_input_space(
    result: Evaluation,
    segmentation: Segmentation,
    reading: CubeOptions,
    cube: str | None,
    checkpoint: str | None,
    seed: int,
) -> Evaluation:
    from dataclasses import replace

    from deepspec.evaluation import scores_in_input_space
    from deepspec.progress import progress_bars

    with progress_bars() as show:
        scores, notes = scores_in_input_space(
            segmentation, result.labels, reading, cube=cube, checkpoint=checkpoint, seed=seed, progress=show
        )
    return replace(result, input_space=scores, notes=(*result.notes, *notes))


def _write_one(
    result: Evaluation, segmentation: Segmentation, source: str, folder: Path, formats: Sequence[str]
) -> None:
    from deepspec.evaluation.files import write_files
    from deepspec.evaluation.summary import summary
    from deepspec.reporting.evaluation import save_evaluation_figures
    from deepspec.reporting.evaluation_report import evaluation_sections
    from deepspec.reporting.report import write_report

    with complete_folder(folder) as part:
        write_files(result, part, source)
        figures = save_evaluation_figures(result, part, formats)
        write_report(segmentation, part / "report.html", sections=evaluation_sections(result, figures))
    _say(summary(result), folder)


def _write_several(
    entries: Sequence[Entry], notes: Sequence[str], reference: Reference, folder: Path, formats: Sequence[str]
) -> None:
    from deepspec.evaluation.series import series_summary, write_series
    from deepspec.reporting.evaluation import save_series_figures

    with complete_folder(folder) as part:
        write_series(entries, notes, reference, part)
        left_out = save_series_figures(entries, part, formats)
    _say(series_summary(entries, (*notes, *left_out)), folder)


def _say(lines: Sequence[str], folder: Path) -> None:
    print("\n".join(lines))
    for path in sorted(folder.iterdir()):
        print(f"wrote {path}")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        evaluate,
        prog="python -m deepspec.evaluate",
        positional="segmentations",
        many=True,
        args=args,
        groups={"reading": CubeOptions},
    )


if __name__ == "__main__":
    main()
