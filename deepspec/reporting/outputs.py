"""Everything that `segment` writes beside the segmentation itself: figures, exports, report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.drawing import FORMATS, Scale
from deepspec.errors import UserError
from deepspec.files import METRICS, REPORT
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
from deepspec.reporting.figure_table import file_names
from deepspec.reporting.figures import FIGURES, history_file, save_figures
from deepspec.reporting.report import write_report
from deepspec.reporting.report_data import borders_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.report import Section
    from deepspec.segmentation import Segmentation

logger = logging.getLogger(__name__)

EXPORTS = {
    "report": REPORT,
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
    {REPORT, "labels.tif", "labels.fits", "spectra.csv", "spectra-decoded.csv", "peaks.csv", "msa", "masks"}
    | {"memberships.tif", "memberships.fits", "borders.csv", "disagreement.tif"}
)
"""Names of all files and folders that may be written besides figures."""

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
    known = all_exports()
    recorded = checkpoint is not None and history_file(checkpoint).is_file()
    if text == "all":
        return frozenset(known) - (set() if recorded else {"training"}) - (set() if checkpoint else {"generated"})
    names = frozenset(part.strip() for part in text.split(",")) - {"", "none"}
    unknown = sorted(names - known.keys())
    if unknown:
        raise UserError(f"export '{unknown[0]}': expected auto, none, all, or some of {', '.join(known)} with commas")
    if "training" in names and not recorded:
        raise UserError(
            f"export 'training' needs {METRICS} of the run beside {checkpoint or 'a checkpoint'}, which is not there"
        )
    if "generated" in names and checkpoint is None:
        raise UserError("export 'generated' needs a checkpoint, which a baseline has not")
    return names


def all_exports() -> dict[str, str]:
    """`EXPORTS`, and those that figures of other packages are drawn for, each with what it is."""
    return EXPORTS | {
        figure.export: figure.caption for figure in FIGURES.values() if figure.export and figure.export not in EXPORTS
    }


def output_names() -> frozenset[str]:
    """Names of all files and folders that `write_outputs` may write.

    Raises:
        UserError: a figure of another package cannot be loaded.
    """
    return NAMES | file_names(name for name, _ in FIGURES.items())  # which loads them all


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
        exports: of `all_exports`.
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
    figures = save_figures(segmentation, folder, scale, labels=labels, formats=formats, exports=exports)
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
            logger.warning(NO_MEMBERSHIPS)
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
            folder / REPORT,
            labels=labels,
            figures=figures,
            sections=sections,
            options=options,
            run_config=_run_config(segmentation.provenance.checkpoint),
        )


def _run_config(checkpoint: str) -> str:
    if not checkpoint:
        return ""
    from deepspec.models.spectral_model import FORMAT, read_checkpoint

    return str(read_checkpoint(checkpoint)[FORMAT].get("config", ""))
