"""Segmenting a cube as a job: what `segment` does with one cube, and knows again when it was done before."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepspec.data.fingerprint import fingerprint, sha256_of
from deepspec.errors import UserError
from deepspec.files import SEGMENTATION, claimed_folder
from deepspec.lines.label import LineOptions
from deepspec.workers.job import Finished, RefusedError, absolute, by_content, companions, kept_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepspec.data.cube_options import CubeOptions
    from deepspec.models import SpectralModel
    from deepspec.segmentation import Segmentation


# What imports torch or matplotlib is imported where it is used: a cube that was done before needs neither.


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """What the cubes of a command have in common: options of `segment`, which describes them."""

    checkpoint: str
    clusters: Literal["frozen", "refit"]
    k: int | tuple[int, int] | None
    clusterer: Literal["ikmeans", "valleys", "gmm", "hdbscan"] | None = None
    firm: float | None = None
    spatial: float | None = None
    unassigned: bool | None = None
    rebin: bool
    scale: Literal["auto", "linear", "sqrt", "log"]
    export: str
    redshift: tuple[float, float]
    sample: int
    restarts: int
    seed: int
    device: str
    overwrite: bool
    reading: CubeOptions
    lines: LineOptions = field(default_factory=LineOptions)


@dataclass(frozen=True)
class SegmentJob:
    """One cube, and the folder for its segmentation."""

    cube: str
    folder: str
    mask: str | None
    options: SegmentOptions
    checkpoint_sha256: str

    @property
    def name(self) -> str:
        """The cube's file."""
        return self.cube

    def anywhere(self) -> SegmentJob:
        """The same with absolute names of all files, for processes that work elsewhere."""
        reading = self.options.reading
        axis = None if reading.axis is None else absolute(reading.axis)
        return replace(
            self,
            cube=absolute(self.cube),
            folder=str(Path(self.folder).absolute()),
            mask=None if self.mask is None else absolute(self.mask),
            options=replace(
                self.options, checkpoint=absolute(self.options.checkpoint), reading=replace(reading, axis=axis)
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
        request, overwrite = self.request(), self.options.overwrite
        result = Path(self.folder) / SEGMENTATION
        kept = kept_result(result, request, "a segmentation", overwrite=overwrite, differs=self._is_of_another_cube)
        if kept is not None:
            return kept
        from deepspec.reporting.segmentation_folder import check_segmentation_folder

        check_segmentation_folder(Path(self.folder), self.options.redshift, overwrite=overwrite)
        with claimed_folder(Path(self.folder)):
            try:
                prepare(self.options, self.checkpoint_sha256)
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
        from deepspec.segmentation import LabelOptions, segment_cube

        options = self.options
        model, device = prepare(options, self.checkpoint_sha256)
        with open_as_recorded(model.reading, options.reading, self.cube, self.mask, model.axis) as opened:
            return segment_cube(
                opened,
                model,
                clusters=options.clusters,
                k=options.k,
                clusterer=options.clusterer,
                firm=options.firm,
                labelling=LabelOptions(options.spatial, options.unassigned),
                rebin=options.rebin,
                sample=options.sample,
                restarts=options.restarts,
                seed=options.seed,
                device=device,
                checkpoint=options.checkpoint,
                progress=progress,
            )

    def save(self, segmentation: Segmentation, request: dict[str, Any]) -> Segmentation:
        """Write the folder, which appears when it is complete; the segmentation as it was written."""
        from deepspec.reporting.outputs import parse_exports
        from deepspec.reporting.segmentation_folder import save_segmentation_folder

        options = self.options
        made_of = segmentation.provenance.cube_sha256 or fingerprint(Path(self.cube))
        return save_segmentation_folder(
            segmentation,
            Path(self.folder),
            exports=parse_exports(options.export, Path(self.cube), Path(options.checkpoint)),
            scale=options.scale,
            redshift=options.redshift,
            dataset=options.reading.dataset,
            options=self._shown(),
            request={**request, "cube": made_of},
            lines=options.lines,
            calibratable=options.reading.channels is None and not options.rebin,
        )

    def request(self) -> dict[str, Any]:
        """What the result depends on, besides the cube's own file, as plain values that a later run can compare."""
        options = self.options
        left_out = ("checkpoint", "device", "overwrite", "reading", "lines")
        chosen = {
            option.name: getattr(options, option.name) for option in fields(options) if option.name not in left_out
        }
        asked = chosen | asdict(options.reading) | asdict(options.lines)
        asked |= {
            "checkpoint": self.checkpoint_sha256,
            "mask": by_content(self.mask),
            "axis": by_content(options.reading.axis),
            "numbers": companions(Path(self.cube)),
        }
        plain: dict[str, Any] = json.loads(json.dumps(asked))
        return plain

    def _is_of_another_cube(self, earlier: Mapping[str, Any]) -> list[str]:
        return [] if earlier.get("cube") == fingerprint(Path(self.cube)) else ["cube"]

    def _shown(self) -> dict[str, object]:
        """The options as the report lists them."""
        options = self.options
        chosen = {option.name: getattr(options, option.name) for option in fields(options)}
        del chosen["overwrite"], chosen["reading"], chosen["lines"]
        named = {"cube": self.cube, "checkpoint": options.checkpoint, "out": self.folder, "mask": self.mask}
        return named | chosen | asdict(options.reading) | asdict(options.lines)


def prepare(options: SegmentOptions, checkpoint_sha256: str) -> tuple[SpectralModel, str]:
    """The model, loaded once in a process, and a device that works.

    Raises:
        UserError: one of them does not work, or the options are impossible whatever the cube.
    """
    from deepspec.segmentation.model import choose_device
    from deepspec.segmentation.search import planned_search

    model = _load(options.checkpoint, checkpoint_sha256)
    device = choose_device(options.device)
    planned_search(model, options.clusters, options.k, options.clusterer, options.firm, options.restarts)
    if min(options.sample, options.restarts) < 1:
        raise UserError("sample and restarts: expected at least 1 of each")
    return model, device


@lru_cache(maxsize=1)
def _load(checkpoint: str, sha256: str) -> SpectralModel:
    from deepspec.models import SpectralModel

    model = SpectralModel.load(checkpoint)
    if sha256_of(Path(checkpoint)) != sha256:
        raise UserError(f"{checkpoint}: this process sees another file than the one that the command was given")
    return model
