"""`deepspec compare RUN...`: runs beside each other, by what they left in their folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.errors import UserError
from deepspec.files import CONFIG, EVALUATION, check_result_folder, complete_folder, write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.runs.folder import RecordedRun

TABLE, PAGE = "comparison.csv", "comparison.html"
FILES = (TABLE, "comparison.png", "comparison.svg", PAGE)


def compare(
    runs: list[str],
    out: str = "comparison",
    sort: Literal[
        "run", "epochs", "k", "silhouette", "reconstruction", "target", "warnings", "ari", "f1", "given"
    ] = "target",
    overwrite: bool = False,
) -> None:
    """Compare runs, finished or not, by their metrics.csv and config.yaml: a table, a picture and a page.

    Args:
        runs: folders of runs, of studies (all their trials) and of evaluations of the runs, or of many evaluations (for
            ARI and F1; those within a run's folder are found).
        out: folder for comparison.csv, .png, .svg and .html.
        sort: column to sort by, the best first; given: as on the command line.
        overwrite: replace an earlier comparison in `out`.
    """
    folder = Path(out)
    check_result_folder(folder, FILES, "a comparison", overwrite=overwrite)
    # Only now: matplotlib takes a second to import, which neither --help nor a mistake should cost.
    from deepspec.runs.folder import differing_keys, find_runs
    from deepspec.runs.table import find_scores, lines_of, result_rows, sort_rows

    evaluations, others = [], []
    for path in runs:
        inner = [file.parent for file in sorted(Path(path).glob(f"[!.]*-evaluation/{EVALUATION}"))]
        if (Path(path) / EVALUATION).is_file():
            evaluations.append(Path(path))
        elif inner and not (Path(path) / CONFIG).is_file():  # what `evaluate` makes of several
            evaluations += inner
        else:
            others.append(path)
    found = find_runs(others)
    if not found:
        raise UserError("expected the folder of at least one run, got only evaluations")
    scores, notes = find_scores(found, evaluations)
    keys = differing_keys(found)
    rows = sort_rows(result_rows(found, scores, keys), sort)
    notes += _cautions(found, keys)
    print("\n".join([*lines_of(rows, keys), *(["", *notes] if notes else [])]))
    from deepspec.drawing import save_figure
    from deepspec.reporting.comparison import comparison_figure, write_comparison_page

    by_name = {run.name: run for run in found}
    figure = comparison_figure([by_name[row["run"]] for row in rows])
    with complete_folder(folder) as part:
        write_csv(part / TABLE, list(rows[0]), rows)
        for kind in ("png", "svg"):
            save_figure(figure, part / f"comparison.{kind}")
        write_comparison_page(rows, keys, notes, figure, part / PAGE)
    for name in FILES:
        print(f"wrote {folder / name}")


def _cautions(runs: Sequence[RecordedRun], keys: Sequence[str]) -> list[str]:
    """What makes numbers of these runs hard to compare, in sentences."""
    cautions = []
    if any(key.startswith(("loss_schedule", "model.objective")) for key in keys):
        cautions.append("target is the loss at a run's own final weights: these runs have different losses")
    if any(key.startswith("model.preprocess") for key in keys):
        cautions.append("losses are of the preprocessed spectra: these runs preprocess differently")
    if any(key.startswith("data.root") for key in keys):
        cautions.append("these runs were trained on different data")
    trained = [run.name for run in runs if run.epochs and "val/target" not in run.history]
    if trained:
        cautions.append(f"losses of the training split, for there is no other: {', '.join(trained)}")
    return cautions


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(compare, prog="deepspec compare", positional="runs", many=True, args=args)


if __name__ == "__main__":
    main()
