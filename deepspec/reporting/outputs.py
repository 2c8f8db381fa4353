"""Everything that `segment` writes beside the segmentation itself: figures, exports, report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.lines.label import label_clusters
from deepspec.reporting.exports import (
    celestial_header,
    save_borders,
    save_disagreement,
    save_fits,
    save_masks,
    save_memberships_fits,
    save_memberships_tiff,
    save_msa,
    save_peaks,
    save_spectra,
    save_tiff,
)
from deepspec.reporting.figures import FIGURES, save_figures
from deepspec.reporting.report import write_report
from deepspec.reporting.report_data import borders_of
from deepspec.reporting.style import FORMATS, Scale, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.report import Section
    from deepspec.segmentation import Segmentation

EXPORTS = {
    "report": "report.html",
    "tiff": "label map of 16 bits; of an ensemble also its disagreement, as floats",
    "fits": "label map, with the cube's world coordinates if it has any",
    "csv": "spectra and peaks of the clusters, and r of each border",
    "msa": "a spectrum file per cluster",
    "masks": "a PNG mask per cluster",
    "memberships": "probability of each cluster: a TIFF page of float32 per cluster, and a FITS cube with fits",
    "svg": "the figures as vector graphics",
    "pdf": "likewise",
    "training": "figures of the training, from the checkpoint's run folder",
    "generated": "spectra drawn from the prior of a variational checkpoint",
}

NAMES = frozenset(
    {f"{name}.{kind}" for name in (*FIGURES, "disagreement", "training", "weights", "generated") for kind in FORMATS}
    | {"report.html", "labels.tif", "labels.fits", "spectra.csv", "spectra-decoded.csv", "peaks.csv", "msa", "masks"}
    | {"memberships.tif", "memberships.fits", "borders.csv", "disagreement.tif"}
)
"""Names of all files and folders that may be written."""

NOT_VARIATIONAL = (
    "no generated spectra: the checkpoint's network is a plain autoencoder, which has no distribution to draw from; "
    "fit with --model.network.variational true"
)


NO_MEMBERSHIPS = (
    "no memberships: the segmentation has none, since clusters times pixels are too many to keep or since an earlier "
    "version wrote it"
)


def parse_exports(text: str, cube: Path, checkpoint: Path | None) -> frozenset[str]:
    """The exports that a text asks for.

    Args:
        text: names with commas between them; `auto`: report, tiff, csv, and fits of a FITS cube; `none`; `all`.
        cube: its file.
        checkpoint: likewise, in the folder of its run; None for what was not trained.

    Raises:
        UserError: an unknown name, or the figures of a training that there is no record of.

    >>> sorted(parse_exports("tiff, masks", Path("scan.h5"), Path("model.ckpt")))
    ['masks', 'tiff']
    """
    if text == "auto":
        fits = {"fits"} if cube.suffix.lower() in (".fits", ".fit", ".fz") else set()
        return frozenset({"report", "tiff", "csv"} | fits)
    recorded = checkpoint is not None and _history_of(checkpoint).is_file()
    if text == "all":
        return frozenset(EXPORTS) - (set() if recorded else {"training"}) - (set() if checkpoint else {"generated"})
    names = frozenset(part.strip() for part in text.split(",")) - {"", "none"}
    unknown = sorted(names - EXPORTS.keys())
    if unknown:
        raise UserError(f"export '{unknown[0]}': expected auto, none, all, or some of {', '.join(EXPORTS)} with commas")
    if "training" in names and not recorded:
        raise UserError(
            f"export 'training' needs metrics.csv of the run beside {checkpoint or 'a checkpoint'}, which is not there"
        )
    if "generated" in names and checkpoint is None:
        raise UserError("export 'generated' needs a checkpoint, which a baseline has not")
    return names


def _history_of(checkpoint: Path) -> Path:
    """metrics.csv beside a checkpoint, or one folder up, as for those in `checkpoints`."""
    beside = checkpoint.parent / "metrics.csv"
    return beside if beside.is_file() else checkpoint.parent.parent / "metrics.csv"


def write_outputs(
    segmentation: Segmentation,
    folder: Path,
    *,
    exports: frozenset[str],
    scale: Scale = "auto",
    redshift: tuple[float, float] = (0.0, 0.0),
    dataset: str | None = None,
    options: Mapping[str, object] | None = None,
    sections: Sequence[Section] = (),
    labels: Sequence[Sequence[LabelledPeak]] | None = None,
) -> None:
    """Write figures as PNG, and the exports that are asked for.

    Args:
        segmentation: of a cube, whose file may be looked at again for its world coordinates, and by a checkpoint,
            whose run folder may be looked at for its training.
        folder: an existing one.
        exports: of `EXPORTS`.
        scale: of the intensities in the figures.
        redshift: lowest and highest, to name emission lines at.
        dataset: extension of the cube in a FITS file.
        options: of the command, for the report.
        sections: further parts of the report.
        labels: peaks of each cluster, if they have been named already.
    """
    if labels is None:
        labels = label_clusters(segmentation.mean_raw, segmentation.axis, redshift=redshift)
    formats = ["png", *(kind for kind in FORMATS if kind in exports)]
    figures = save_figures(segmentation, folder, scale, labels=labels, formats=formats)
    checkpoint = segmentation.provenance.checkpoint
    if "training" in exports:
        figures += save_training(checkpoint, folder, formats)
    if "generated" in exports:
        figures += save_generated(segmentation, folder, formats, scale)
    if "tiff" in exports:
        save_tiff(segmentation, folder / "labels.tif")
        if segmentation.disagreement is not None:
            save_disagreement(segmentation, folder / "disagreement.tif")
    header = None
    if "fits" in exports:
        cube = segmentation.provenance.cube
        rows, columns = segmentation.labels.shape
        header = celestial_header(Path(cube), (rows, columns), dataset) if cube else None
        save_fits(segmentation, folder / "labels.fits", header)
    if "memberships" in exports:
        if segmentation.memberships is None:
            print(NO_MEMBERSHIPS, file=sys.stderr)
        else:
            save_memberships_tiff(segmentation, folder / "memberships.tif")
            if "fits" in exports:
                save_memberships_fits(segmentation, folder / "memberships.fits", header)
    if "csv" in exports:
        save_spectra(segmentation, folder)
        save_peaks(labels, folder / "peaks.csv")
        if (borders := borders_of(segmentation)) is not None:
            save_borders(borders, folder / "borders.csv")
    for name, save in (("msa", save_msa), ("masks", save_masks)):
        if name in exports:
            (folder / name).mkdir()
            save(segmentation, folder / name)
    if "report" in exports:
        write_report(
            segmentation,
            folder / "report.html",
            labels=labels,
            figures=figures,
            sections=sections,
            options=options,
            run_config=_run_config(checkpoint),
        )


def save_training(checkpoint: str, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw the history of a training and the weights before and after it.

    Args:
        checkpoint: of a run; metrics.csv is looked for beside it and one folder up.
        folder: an existing one.
        formats: png, svg, pdf.

    Raises:
        UserError: there is no metrics.csv or no checkpoint.
    """
    from deepspec.reporting.training_figures import layer_weights, read_history, trained_weights, training_history

    figures = {
        "training": training_history(read_history(_history_of(Path(checkpoint)))),
        "weights": layer_weights(*trained_weights(checkpoint)),
    }
    paths = [folder / f"{name}.{kind}" for kind in formats for name in figures]
    for path in paths:
        save_figure(figures[path.stem], path)
    return paths


def save_generated(segmentation: Segmentation, folder: Path, formats: Sequence[str], scale: Scale) -> list[Path]:
    """Draw spectra that the checkpoint of a segmentation generates; say so if it is not variational and cannot.

    Args:
        segmentation: whose clusters are shown.
        folder: an existing one.
        formats: png, svg, pdf.
        scale: of the intensities.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    from deepspec.reporting.training_figures import generate, generated_spectra

    generated = generate(segmentation, segmentation.provenance.checkpoint)
    if generated is None:
        print(NOT_VARIATIONAL, file=sys.stderr)  # standard output may be another process's, waiting for a result
        return []
    paths = [folder / f"generated.{kind}" for kind in formats]
    figure = generated_spectra(segmentation, generated, scale)
    for path in paths:
        save_figure(figure, path)
    return paths


def _run_config(checkpoint: str) -> str:
    if not checkpoint:
        return ""
    from deepspec.models.spectral_model import FORMAT, read_checkpoint

    return str(read_checkpoint(checkpoint)[FORMAT].get("config", ""))
