"""Segmenting a cube as a job: what `segment` does with one cube, and knows again when it was done before."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepspec.data.fingerprint import fingerprint, sha256_of
from deepspec.errors import UserError
from deepspec.files import SEGMENTATION, claimed_folder
from deepspec.workers.job import Finished, RefusedError, absolute, by_content, companions, kept_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepspec.data.cube_options import CubeOptions
    from deepspec.lines.label import LineOptions
    from deepspec.models import SpectralModel
    from deepspec.segmentation import Segmentation
    from deepspec.segmentation.options import ResultOptions, SegmentOptions


# What imports torch or matplotlib is imported where it is used: a cube that was done before needs neither.


@dataclass(frozen=True)
class SegmentRequest:
    """What the cubes of a command have in common."""

    checkpoint: str
    options: SegmentOptions
    results: ResultOptions
    reading: CubeOptions
    lines: LineOptions

    def plain(self) -> dict[str, Any]:
        """Every option by its name."""
        parts = (self.options, self.results, self.reading, self.lines)
        return {name: value for part in parts for name, value in asdict(part).items()}


@dataclass(frozen=True)
class SegmentJob:
    """One cube, and the folder for its segmentation."""

    cube: str
    folder: str
    mask: str | None
    asked: SegmentRequest
    checkpoint_sha256: str

    @property
    def name(self) -> str:
        """The cube's file."""
        return self.cube

    def anywhere(self) -> SegmentJob:
        """The same with absolute names of all files, for processes that work elsewhere."""
        reading, results = self.asked.reading, self.asked.results
        axis = None if reading.axis is None else absolute(reading.axis)
        return replace(
            self,
            cube=absolute(self.cube),
            folder=str(Path(self.folder).absolute()),
            mask=None if self.mask is None else absolute(self.mask),
            asked=replace(
                self.asked,
                checkpoint=absolute(self.asked.checkpoint),
                reading=replace(reading, axis=axis),
                results=replace(results, names=None if results.names is None else str(Path(results.names).absolute())),
            ),
        )

    def run(self) -> Finished:
        """Segment the cube, unless its folder has this very segmentation already.

        Raises:
            RefusedError: no cube can be segmented with these options.
            UserError: this one cannot be.
        """
        if not Path(self.cube).exists():
            raise UserError(f"{self.cube}: no such file, or none that this process can see")
        request, overwrite = self.request(), self.asked.results.overwrite
        result = Path(self.folder) / SEGMENTATION
        kept = kept_result(result, request, "a segmentation", overwrite=overwrite, differs=self._is_of_another_cube)
        if kept is not None:
            return kept
        from deepspec.reporting.segmentation_folder import check_segmentation_folder

        check_segmentation_folder(Path(self.folder), self.asked.results.redshift, overwrite=overwrite)
        with claimed_folder(Path(self.folder)):
            try:
                prepare(self.asked, self.checkpoint_sha256)
            except UserError as error:
                raise RefusedError(str(error)) from error
            found = self.segment()
            self.save(found, request)
        return Finished(f"{found.headline}, in {self.folder}")

    def segment(self, progress: Callable[[str, int, int], None] | None = None) -> Segmentation:
        """Segment the cube.

        Args:
            progress: called after each block with the name of the pass, the pixels done and all.

        Raises:
            UserError: the options are impossible, or do not suit the cube.
        """
        from deepspec.data.recorded_reading import open_as_recorded
        from deepspec.segmentation import segment_cube

        asked = self.asked
        model = prepare(asked, self.checkpoint_sha256)
        with open_as_recorded(model.reading, asked.reading, self.cube, self.mask, model.axis) as opened:
            found = segment_cube(opened, model, asked.options, checkpoint=asked.checkpoint, progress=progress)
            from deepspec.reporting.segmentation_folder import with_maps, with_statistics

            results = asked.results
            if results.names is not None:
                found = _with_names(found, results.names)
            found = with_statistics(found, opened, progress)
            return with_maps(
                found, opened, results.maps, redshift=results.redshift, lines=asked.lines, progress=progress
            )

    def save(self, segmentation: Segmentation, request: dict[str, Any]) -> Segmentation:
        """Write the folder, which appears when it is complete; the segmentation as it was written."""
        from deepspec.reporting.outputs import parse_exports
        from deepspec.reporting.segmentation_folder import save_segmentation_folder

        asked, results = self.asked, self.asked.results
        made_of = segmentation.provenance.cube_sha256 or fingerprint(Path(self.cube))
        return save_segmentation_folder(
            segmentation,
            Path(self.folder),
            exports=parse_exports(results.export, Path(self.cube), Path(asked.checkpoint)),
            scale=results.scale,
            redshift=results.redshift,
            dataset=asked.reading.dataset,
            options=self._shown(),
            request={**request, "cube": made_of},
            lines=asked.lines,
            calibratable=asked.reading.channels is None and not asked.options.rebin,
        )

    def request(self) -> dict[str, Any]:
        """What the result depends on, besides the cube's own file, as plain values that a later run can compare."""
        asked = {name: value for name, value in self.asked.plain().items() if name not in ("device", "overwrite")}
        asked |= {
            "checkpoint": self.checkpoint_sha256,
            "mask": by_content(self.mask),
            "axis": by_content(self.asked.reading.axis),
            "names": by_content(_file_of(self.asked.results.names)),
            "numbers": companions(Path(self.cube)),
        }
        plain: dict[str, Any] = json.loads(json.dumps(asked))
        return plain

    def _is_of_another_cube(self, earlier: Mapping[str, Any]) -> list[str]:
        return [] if earlier.get("cube") == fingerprint(Path(self.cube)) else ["cube"]

    def _shown(self) -> dict[str, object]:
        """The options as the report lists them."""
        named = {"cube": self.cube, "checkpoint": self.asked.checkpoint, "out": self.folder, "mask": self.mask}
        return named | {name: value for name, value in self.asked.plain().items() if name != "overwrite"}


def _file_of(names: str | None) -> str | None:
    return None if names is None else str(Path(names, SEGMENTATION) if Path(names).is_dir() else names)


def _with_names(found: Segmentation, names: str) -> Segmentation:
    """Apply the edits of another segmentation by the same frozen clusters.

    Raises:
        UserError: it is of other clusters, or a cluster of it was split.
    """
    from deepspec.segmentation import Segmentation
    from deepspec.segmentation.edits import edits_of, relabel_segmentation

    file = Path(names, SEGMENTATION) if Path(names).is_dir() else Path(names)
    edited = Segmentation.load(file)
    before = len(edited.edited) if edited.edited is not None else edited.k
    modes = (found.provenance.clusters, edited.provenance.clusters)
    same = found.provenance.checkpoint_sha256 == edited.provenance.checkpoint_sha256
    if modes != ("frozen", "frozen") or not same or before != found.k:
        raise UserError(
            f"names: {file} is of {before} {modes[1]} clusters{'' if same else ' of another checkpoint'}, this is of "
            f"{found.k} {modes[0]} ones: names go with the frozen clusters of one checkpoint"
        )
    try:
        return relabel_segmentation(found, edits_of(edited))
    except UserError as error:
        raise UserError(f"names: {file}: {error}") from error


def prepare(asked: SegmentRequest, checkpoint_sha256: str) -> SpectralModel:
    """The model, loaded once in a process.

    Raises:
        UserError: it cannot be loaded, the device does not work, or the options do not suit the model.
    """
    from deepspec.segmentation.model import choose_device
    from deepspec.segmentation.search import planned_search

    model = _load(asked.checkpoint, checkpoint_sha256)
    choose_device(asked.options.device)
    planned_search(model, asked.options)
    return model


@lru_cache(maxsize=1)
def _load(checkpoint: str, sha256: str) -> SpectralModel:
    from deepspec.models import SpectralModel

    model = SpectralModel.load(checkpoint)
    if sha256_of(Path(checkpoint)) != sha256:
        raise UserError(f"{checkpoint}: this process sees another file than the one that the command was given")
    return model
