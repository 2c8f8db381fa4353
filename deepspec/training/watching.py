"""A cube that is watched while a model trains: its segmentation, and its agreement with a reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.data.cube_options import CubeOptions
from deepspec.data.recorded_reading import open_as_recorded
from deepspec.errors import UserError
from deepspec.evaluation import evaluate_segmentation, read_reference
from deepspec.evaluation.files import write_files
from deepspec.files import REPORT, SEGMENTATION, complete_folder
from deepspec.reporting.evaluation import evaluation_sections, save_evaluation_figures
from deepspec.reporting.figures import save_figures
from deepspec.reporting.map_figures import label_map
from deepspec.reporting.report import write_report
from deepspec.segmentation import segment_cube
from deepspec.segmentation.alignment import align

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepspec.evaluation import Evaluation, Reference
    from deepspec.models import SpectralModel
    from deepspec.segmentation import Segmentation


@dataclass(frozen=True)
class Sight:
    """The cube as a model sees it at one moment."""

    segmentation: Segmentation
    """With the clusters of the training."""
    evaluation: Evaluation | None
    """Against the reference, if there is one."""

    def numbers(self) -> dict[str, float]:
        """What is logged, by name."""
        found = {"watched/silhouette": self.segmentation.silhouette.score}
        if self.evaluation is not None and self.evaluation.agreement is not None:
            agreement = self.evaluation.agreement
            found |= {"watched/ari": agreement.ari, "watched/f1": agreement.macro["f1"]}
        return found

    def label_map(self) -> Figure:
        """The image of cluster numbers."""
        return label_map(self.segmentation)

    def write(self, folder: Path) -> Path:
        """Write segmentation, evaluation, their figures and a report into a folder, which is replaced.

        Returns:
            The report.
        """
        with complete_folder(folder) as part:
            self.segmentation.save(part / SEGMENTATION)
            figures = save_figures(self.segmentation, part)
            sections = []
            if self.evaluation is not None:
                write_files(self.evaluation, part, str(folder / SEGMENTATION))
                sections = evaluation_sections(self.evaluation, save_evaluation_figures(self.evaluation, part))
            write_report(self.segmentation, part / REPORT, figures=figures, sections=sections)
        return folder / REPORT


class WatchedCube:
    """Segments a cube again and again.

    Args:
        cube: its file, of any format that `read_cube` knows without further options.
        reference: see `read_reference`; of the cube's size.
        ignore: value of a label map that means no class.
        model: that is going to be trained; only its axis matters here.

    Raises:
        UserError: a file cannot be read, or does not fit.
    """

    def __init__(self, cube: str, reference: str | None, ignore: int | None, model: SpectralModel) -> None:
        self._cube = cube
        self._reference: Reference | None = None
        if not Path(cube).is_file():
            raise UserError(f"tracking.cube: {cube}: no such file")
        with open_as_recorded(model.reading, CubeOptions(), cube, None, model.axis) as opened:
            align(opened, model, allow_rebin=False)
            shape = opened.mask.shape
        if reference is not None:
            self._reference = read_reference(reference, ignore=ignore)
            if self._reference.labels.shape != shape:
                raise UserError(
                    f"tracking.reference: {reference} has shape {self._reference.labels.shape}, the cube {shape}"
                )

    def look(self, model: SpectralModel, checkpoint: Path | None) -> Sight:
        """Segment the cube by the model's own clusters.

        Args:
            model: on any device.
            checkpoint: its file, if it has one already.

        Raises:
            UserError: no spectrum can be used.
        """
        device = model.clusters.centres.device
        with open_as_recorded(model.reading, CubeOptions(), self._cube, None, model.axis) as cube:
            segmentation = segment_cube(cube, model, device=device, checkpoint=checkpoint)
        evaluation = None
        if self._reference is not None:
            evaluation = evaluate_segmentation(segmentation, self._reference, refits=0)
        return Sight(segmentation, evaluation)
