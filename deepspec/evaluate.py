"""`python -m deepspec.evaluate SEGMENTATION --reference PICTURE_OR_LABELS`: how good is a segmentation?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.errors import UserError
from deepspec.result_folder import check_result_folder, complete_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

FILES = ("evaluation.json", "clusters.csv", "maps.h5", "report.html")
FIGURES = ("comparison.png", "confusion.png", "criteria.png", "errors.png", "stability.png")


def evaluate(
    segmentation: str,
    reference: str | None = None,
    kind: Literal["auto", "image", "labels"] = "auto",
    ignore: int | None = None,
    mapping: str | None = None,
    mask: str | None = None,
    resample: bool = False,
    k: tuple[int, int] = (3, 10),
    refits: int = 20,
    alpha: float = 0.7,
    beta: float = 0.3,
    seed: int = 0,
    out: str | None = None,
    overwrite: bool = False,
) -> None:
    """Compare a segmentation with a picture, a label map or another segmentation, and with itself refitted.

    Args:
        segmentation: what `segment` wrote: its folder or its file segmentation.h5.
        reference: picture whose colours are clustered, or label map (PNG, TIFF, NPY, HDF5, FITS, MATLAB), or another
            segmentation; FILE or FILE:KEY. Without one, only what needs none is worked out.
        kind: image or labels, where the reference is taken for the wrong one.
        ignore: value of the label map that means no class, such as 0.
        mapping: YAML file that merges classes which cannot be told apart, with lines like 'iron earths: [4, 7]'.
        mask: image of the pixels that count (nonzero), FILE or FILE:KEY.
        resample: take the nearest pixels of a reference that has another size.
        k: fewest and most clusters, of the picture's colours and of the criteria for K.
        refits: on resampled pixels, for the stability; 0 leaves it out.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives in the Tversky index.
        seed: of everything random.
        out: folder for the results; default SEGMENTATION-evaluation in the current directory.
        overwrite: replace an earlier evaluation in `out`.
    """
    file = _file(segmentation)
    name = file.parent.absolute().name if file.name == "segmentation.h5" else file.stem
    folder = Path(out) if out is not None else Path(f"{name}-evaluation")
    check_result_folder(folder, {*FILES, *FIGURES}, "an evaluation", overwrite=overwrite)
    if not file.is_file():
        raise UserError(f"{file}: no such segmentation; `segment` writes segmentation.h5 into its output folder")
    if min(refits, alpha, beta) < 0 or refits == 1:
        raise UserError("refits: expected 0 or at least 2; alpha and beta: expected at least 0")
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from deepspec.data.pixels import read_mask
    from deepspec.evaluation import evaluate_segmentation, fit_to_shape, merge_classes, read_mapping, read_reference
    from deepspec.evaluation.files import write_files
    from deepspec.evaluation.summary import summary
    from deepspec.reporting.evaluation import save_evaluation_figures
    from deepspec.reporting.evaluation_report import evaluation_sections
    from deepspec.reporting.report import write_report
    from deepspec.segmentation import Segmentation

    found = Segmentation.load(file)
    shape = (found.labels.shape[0], found.labels.shape[1])
    classes = None
    if reference is not None:
        classes = read_reference(reference, kind=kind, ignore=ignore, k=k, seed=seed)
        classes = fit_to_shape(classes, shape, resample=resample)
        if mapping is not None:
            classes = merge_classes(classes, read_mapping(mapping))
    result = evaluate_segmentation(
        found,
        classes,
        mask=None if mask is None else read_mask(mask, shape),
        k=k,
        refits=refits,
        alpha=alpha,
        beta=beta,
        seed=seed,
    )
    with complete_folder(folder) as part:
        write_files(result, part, str(file))
        figures = save_evaluation_figures(result, part)
        write_report(found, part / "report.html", sections=evaluation_sections(result, figures))
    print("\n".join(summary(result)))
    for path in sorted(folder.iterdir()):
        print(f"wrote {path}")


def _file(segmentation: str) -> Path:
    path = Path(segmentation)
    return path / "segmentation.h5" if path.is_dir() else path


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(evaluate, prog="python -m deepspec.evaluate", positional="segmentation", args=args)


if __name__ == "__main__":
    main()
