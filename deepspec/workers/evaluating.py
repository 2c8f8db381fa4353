"""Evaluating a segmentation as a job: what `evaluate` does with one, and knows again when it was done before."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepspec.data.fingerprint import fingerprint, with_files, write_request
from deepspec.errors import UserError
from deepspec.files import MAPS, REPORT, SEGMENTATION
from deepspec.workers.job import Finished, RefusedError, absolute, by_content, kept_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.data.cube_options import CubeOptions
    from deepspec.evaluation import Evaluation, Reference
    from deepspec.evaluation.options import EvaluateOptions
    from deepspec.segmentation import Provenance, Segmentation


# What takes seconds to import, as torch and matplotlib do, is imported where it is used.

LEFT_OUT, NOT_FOUND = "left out", "not found"
"""Of a cube that is not read, as it was asked for or cannot be."""


@dataclass(frozen=True)
class EvaluateRequest:
    """What the segmentations of a command have in common."""

    options: EvaluateOptions
    reading: CubeOptions

    def classes(self, source: str) -> Reference:
        """Read a reference and merge its classes.

        Raises:
            UserError: it cannot be read, or has no such classes.
        """
        from deepspec.evaluation import merge_classes, read_mapping, read_reference

        options = self.options
        classes = read_reference(source, kind=options.kind, ignore=options.ignore, k=options.k, seed=options.seed)
        return classes if options.mapping is None else merge_classes(classes, read_mapping(options.mapping))

    def space(self, provenance: Provenance) -> str:
        """What is read for scores in the input space: the cube that was segmented, or another by its fingerprint."""
        from deepspec.evaluation.origin import cube_of

        cube = self.options.cube
        if cube == "none":
            return LEFT_OUT
        try:
            file = cube_of(provenance, cube)
        except UserError:
            return NOT_FOUND
        return "as segmented" if cube is None else fingerprint(file)


@dataclass(frozen=True)
class EvaluateJob:
    """One segmentation, what it is compared with, and the folder for its evaluation."""

    segmentation: str
    """The file."""
    folder: str
    reference: str | None
    mask: str | None
    asked: EvaluateRequest

    @property
    def name(self) -> str:
        """Where the segmentation is."""
        path = Path(self.segmentation)
        return str(path.parent) if path.name == SEGMENTATION and path.parent.name else str(path)

    def anywhere(self) -> EvaluateJob:
        """The same with absolute names of all files, for processes that work elsewhere."""
        options, reading = self.asked.options, self.asked.reading
        axis = None if reading.axis is None else absolute(reading.axis)
        return replace(
            self,
            segmentation=absolute(self.segmentation),
            folder=str(Path(self.folder).absolute()),
            reference=_absolute(self.reference),
            mask=_absolute(self.mask),
            asked=EvaluateRequest(
                replace(
                    options,
                    mapping=_absolute(options.mapping),
                    cube=options.cube if options.cube == "none" else _absolute(options.cube),
                    checkpoint=_absolute(options.checkpoint),
                ),
                replace(reading, axis=axis),
            ),
        )

    def run(self) -> Finished:
        """Evaluate the segmentation, unless its folder has this very evaluation already.

        Raises:
            RefusedError: none can be evaluated with these options.
            UserError: this one cannot be.
        """
        if not Path(self.segmentation).is_file():
            raise UserError(f"{self.segmentation}: no such file, or none that this process can see")
        overwrite = self.asked.options.overwrite
        if (kept := self._kept(overwrite=overwrite)) is not None:
            return kept
        from deepspec.files import check_result_folder, claimed_folder
        from deepspec.reporting.evaluation import evaluation_names
        from deepspec.segmentation.model import choose_device

        check_result_folder(Path(self.folder), evaluation_names(), "an evaluation", overwrite=overwrite)
        with claimed_folder(Path(self.folder)):
            try:
                choose_device(self.asked.options.device)
            except UserError as error:
                raise RefusedError(str(error)) from error
            evaluation, segmentation = self.evaluate()
            self.save(evaluation, segmentation)
        return Finished(f"{_headline(evaluation)}, in {self.folder}")

    @property
    def is_done(self) -> bool:
        """Whether the folder has this very evaluation, and not one of other files or options."""
        return Path(self.segmentation).is_file() and self._kept(overwrite=True) is not None

    def evaluate(self, progress: Callable[[str, int, int], None] | None = None) -> tuple[Evaluation, Segmentation]:
        """Evaluate the segmentation.

        Args:
            progress: called after each block of the cube with the name of the pass, the pixels done and all.

        Raises:
            UserError: a file cannot be read, or they do not fit together.
        """
        from deepspec.evaluation import evaluate_segmentation, fit_to_shape, scores_in_input_space
        from deepspec.segmentation import Segmentation
        from deepspec.segmentation.model import choose_device

        options = self.asked.options
        found = Segmentation.load(self.segmentation)
        rows, columns = found.labels.shape
        classes = None
        if self.reference is not None:
            classes = fit_to_shape(self.asked.classes(self.reference), (rows, columns), resample=options.resample)
        result = evaluate_segmentation(
            found,
            classes,
            mask=None if self.mask is None else read_mask_of(self.mask, found),
            k=options.k,
            refits=options.refits,
            alpha=options.alpha,
            beta=options.beta,
            seed=options.seed,
            device=choose_device(options.device),
        )
        if options.cube == "none":
            return result, found
        scores, notes = scores_in_input_space(
            found,
            result.labels,
            self.asked.reading,
            cube=options.cube,
            checkpoint=options.checkpoint,
            seed=options.seed,
            progress=progress,
        )
        return replace(result, input_space=scores, notes=(*result.notes, *notes)), found

    def save(self, evaluation: Evaluation, segmentation: Segmentation) -> None:
        """Write the folder, which appears when it is complete."""
        from deepspec.evaluation.files import write_files
        from deepspec.files import complete_folder
        from deepspec.reporting.evaluation import evaluation_sections, parse_formats, save_evaluation_figures
        from deepspec.reporting.report import write_report

        with complete_folder(Path(self.folder)) as part:
            write_files(evaluation, part, self.segmentation)
            figures = save_evaluation_figures(evaluation, part, parse_formats(self.asked.options.export))
            write_report(segmentation, part / REPORT, sections=evaluation_sections(evaluation, figures))
            request = {**self.request(), "cube": self.asked.space(segmentation.provenance)}
            write_request(part / MAPS, with_files(request, part))

    def request(self) -> dict[str, Any]:
        """What the result depends on, besides the cube, as plain values that a later run can compare."""
        options, reading = self.asked.options, self.asked.reading
        left_out = ("cube", "device", "overwrite")
        asked = {name: value for name, value in asdict(options).items() if name not in left_out} | asdict(reading)
        asked |= {
            "segmentation": fingerprint(Path(self.segmentation)),
            "reference": by_content(_file_of(self.reference)),
            "mask": by_content(self.mask),
            "mapping": by_content(options.mapping),
            "checkpoint": by_content(options.checkpoint),
            "axis": by_content(reading.axis),
        }
        plain: dict[str, Any] = json.loads(json.dumps(asked))
        return plain

    def _kept(self, *, overwrite: bool) -> Finished | None:

        result, request = Path(self.folder) / MAPS, self.request()
        return kept_result(result, request, "an evaluation", overwrite=overwrite, differs=self._reads_otherwise)

    def _reads_otherwise(self, earlier: Mapping[str, Any]) -> list[str]:
        """The scores in the input space stay when the cube is no longer there."""
        from deepspec.segmentation.result import read_provenance

        then, now = earlier.get("cube"), self.asked.space(read_provenance(Path(self.segmentation)))
        return [] if now == then or (now == NOT_FOUND and then != LEFT_OUT) else ["cube"]


def segmentation_files(paths: Sequence[str]) -> list[str]:
    """The files that hold segmentations: given as such, by their folder, or by a folder of such folders.

    Raises:
        UserError: there is none.
    """
    files: list[str] = []
    for path in map(Path, paths):
        if path.is_file():
            files.append(str(path))
            continue
        # Folders that begin with a dot are unfinished.
        inner = [path / SEGMENTATION, *sorted(path.glob(f"[!.]*/{SEGMENTATION}"))]
        found = [str(file) for file in inner if file.is_file()]
        if not found:
            raise UserError(f"{inner[0]}: no such segmentation; `segment` writes {SEGMENTATION} into its output folder")
        files += found[:1] if found[0] == str(inner[0]) else found
    return files


def name_of(segmentation: str) -> str:
    """What a segmentation is called: its folder, or a file of another name."""
    path = Path(segmentation)
    return path.absolute().parent.name if path.name == SEGMENTATION else path.stem


def read_mask_of(mask: str, segmentation: Segmentation) -> NDArray[np.bool_]:
    """(H, W) the pixels that count.

    Raises:
        UserError: it cannot be read, or has another size.
    """
    from deepspec.data.pixels import read_mask

    rows, columns = segmentation.labels.shape
    return read_mask(mask, (rows, columns))


def _file_of(source: str | None) -> str | None:
    """A segmentation's file where its folder is given."""
    if source is not None and (file := Path(source) / SEGMENTATION).is_file():
        return str(file)
    return source


def _absolute(text: str | None) -> str | None:
    if text is None:
        return None
    return str(Path(text).absolute()) if Path(text).is_dir() else absolute(text)


def _headline(evaluation: Evaluation) -> str:
    parts = [f"K = {evaluation.k}"]
    if evaluation.agreement is not None:
        parts += [f"ARI {evaluation.agreement.ari:.3f}", f"weighted F1 {evaluation.agreement.weighted['f1']:.3f}"]
    if evaluation.stability is not None and evaluation.partition == "nearest":
        parts.append(evaluation.stability.level)
    return ", ".join(parts)
