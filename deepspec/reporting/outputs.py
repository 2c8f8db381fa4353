"""Everything that `segment` writes beside the segmentation itself: figures, exports, report."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.drawing import FORMATS, Scale
from deepspec.errors import UserError
from deepspec.extensions import Extensible
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
    save_statistics,
    save_tiff,
)
from deepspec.reporting.figure_table import file_names, others_may_fail
from deepspec.reporting.figures import FIGURES, history_file, save_figures
from deepspec.reporting.line_map_files import save_maps_fits, save_maps_tiff
from deepspec.reporting.pigments import pigments_of, save_pigments
from deepspec.reporting.report import write_report
from deepspec.reporting.report_data import borders_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from astropy.io.fits import Header

    from deepspec.lines.candidate import LabelledPeak
    from deepspec.reporting.report import Section
    from deepspec.segmentation import Segmentation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ExportContext:
    """What an export is written from."""

    segmentation: Segmentation
    """Of a cube, whose file may be looked at again."""
    labels: Sequence[Sequence[LabelledPeak]]
    """Peaks of each cluster."""
    exports: frozenset[str]
    """All that was asked for."""
    dataset: str | None
    """Extension of the cube in a FITS file."""

    @cached_property
    def header(self) -> Header | None:
        """World coordinates of the cube's image; None if it has none."""
        cube = self.segmentation.provenance.cube
        rows, columns = self.segmentation.labels.shape
        return celestial_header(Path(cube), (rows, columns), self.dataset) if cube else None


@dataclass(frozen=True)
class Export:
    """Files for other programs; its name in the table is the word that `--export` asks for it by."""

    about: str
    """What it is, in a few words."""
    files: tuple[str, ...] = ()
    """Names of the files and folders that it may write."""
    write: Callable[[ExportContext, Path], None] | None = None
    """Writes them into an existing folder; None of what figures and the report look at."""


def _check(name: str, export: object) -> None:
    if not isinstance(export, Export) or export.write is None:
        raise TypeError(f"expected a deepspec.reporting.Export that writes, got a {type(export).__name__}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or any("/" in file for file in export.files):
        raise UserError(f"export {name!r}: use small letters, digits, - and _ only, and files without a folder")


def _write_tiff(context: ExportContext, folder: Path) -> None:
    save_tiff(context.segmentation, folder / "labels.tif")
    if context.segmentation.line_maps is not None:
        save_maps_tiff(context.segmentation.line_maps, folder / "maps.tif")
    if context.segmentation.disagreement is not None:
        save_disagreement(context.segmentation, folder / "disagreement.tif")


def _write_fits(context: ExportContext, folder: Path) -> None:
    save_fits(context.segmentation, folder / "labels.fits", context.header)
    if context.segmentation.line_maps is not None:
        save_maps_fits(context.segmentation.line_maps, folder / "maps.fits", context.header)


def _write_memberships(context: ExportContext, folder: Path) -> None:
    if context.segmentation.memberships is None:
        logger.warning(
            "no memberships: the segmentation has none, since clusters times pixels are too many to keep or since an "
            "earlier version wrote it"
        )
        return
    save_memberships_tiff(context.segmentation, folder / "memberships.tif")
    if "fits" in context.exports:
        save_memberships_fits(context.segmentation, folder / "memberships.fits", context.header)


def _write_csv(context: ExportContext, folder: Path) -> None:
    save_spectra(context.segmentation, folder)
    if context.segmentation.statistics is not None:
        save_statistics(context.segmentation, folder / "statistics.csv")
    save_peaks(context.labels, folder / "peaks.csv")
    if (borders := borders_of(context.segmentation)) is not None:
        save_borders(borders, folder / "borders.csv")
    if any(pigments := pigments_of(context.segmentation, context.labels)):
        save_pigments(context.segmentation, pigments, folder / "pigments.csv")


def _write_folder(name: str, save: Callable[[Segmentation, Path], object]) -> Callable[[ExportContext, Path], None]:
    def write(context: ExportContext, folder: Path) -> None:
        (folder / name).mkdir()
        save(context.segmentation, folder / name)

    return write


EXPORTS: Extensible[Export] = Extensible(
    "export",
    "deepspec.exports",
    {
        "report": Export(REPORT, (REPORT,)),
        "tiff": Export(
            "label map of 16 bits; of an ensemble also its disagreement, and maps of lines, as floats",
            ("labels.tif", "disagreement.tif", "maps.tif"),
            _write_tiff,
        ),
        "fits": Export(
            "label map, with the cube's world coordinates if it has any",
            ("labels.fits", "maps.fits"),
            _write_fits,
        ),
        "csv": Export(
            "spectra of the clusters, what they scatter by, their peaks, pigments they may be, and r of each border",
            ("spectra.csv", "spectra-decoded.csv", "statistics.csv", "peaks.csv", "borders.csv", "pigments.csv"),
            _write_csv,
        ),
        "msa": Export("a spectrum file per cluster", ("msa",), _write_folder("msa", save_msa)),
        "masks": Export("a PNG mask per cluster", ("masks",), _write_folder("masks", save_masks)),
        "memberships": Export(
            "probability of each cluster: a TIFF page of float32 per cluster, and a FITS cube with fits",
            ("memberships.tif", "memberships.fits"),
            _write_memberships,
        ),
        "svg": Export("the figures as vector graphics"),
        "pdf": Export("likewise"),
        "training": Export("figures of the training, from the checkpoint's run folder"),
        "generated": Export("spectra drawn from the prior of a variational checkpoint"),
    },
    _check,
)
"""What `--export` can ask for. Another package adds to it by an entry point of the group `deepspec.exports`."""


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
    unknown = sorted(names.difference(known))
    if unknown:
        raise UserError(f"export '{unknown[0]}': expected auto, none, all, or some of {', '.join(known)} with commas")
    if "training" in names and not recorded:
        raise UserError(
            f"export 'training' needs {METRICS} of the run beside {checkpoint or 'a checkpoint'}, which is not there"
        )
    if "generated" in names and checkpoint is None:
        raise UserError("export 'generated' needs a variational model, and a baseline has none: leave it out")
    return names


def all_exports() -> list[str]:
    """Names of `EXPORTS`, and of those that figures of other packages are drawn for.

    Raises:
        UserError: a figure or an export of another package cannot be loaded.
    """
    return list(dict.fromkeys([*dict(EXPORTS), *(figure.export for figure in FIGURES.values() if figure.export)]))


def output_names() -> frozenset[str]:
    """Names of all files and folders that `write_outputs` may write.

    Raises:
        UserError: a figure or an export of another package cannot be loaded.
    """
    return file_names(dict(FIGURES)) | {file for export in EXPORTS.values() for file in export.files}


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
    context = ExportContext(segmentation, labels, exports, dataset)
    for name, export in EXPORTS.items():
        if name in exports and export.write is not None:
            with others_may_fail(EXPORTS, name):
                export.write(context, folder)
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
