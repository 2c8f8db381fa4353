"""The spectra that a segmentation was made from, found again by what its file records."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deepspec.baselines.embeddings import Identity
from deepspec.baselines.fitting import fit_to_cube, sample_cube
from deepspec.baselines.model import BaselineModel
from deepspec.data.recorded_reading import open_as_recorded
from deepspec.errors import UserError
from deepspec.evaluation.input_space import input_space
from deepspec.models import SpectralModel
from deepspec.preprocess import Preprocess
from deepspec.segmentation.provenance import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube
    from deepspec.data.cube_options import CubeOptions
    from deepspec.evaluation.result import Internal
    from deepspec.segmentation import Segmentation, SegmentationModel
    from deepspec.segmentation.provenance import Provenance
    from deepspec.segmentation.result import BaselineRecord

    Progress = Callable[[str, int, int], None]

LEFT_OUT = "no scores in the input space"


def scores_in_input_space(
    segmentation: Segmentation,
    labels: NDArray[np.int64],
    reading: CubeOptions,
    *,
    cube: str | None = None,
    checkpoint: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Internal | None, tuple[str, ...]]:
    """Open the cube and the preprocessing of a segmentation again, and score labels on its preprocessed spectra.

    Args:
        segmentation: of a file's cube, by a checkpoint or a baseline.
        labels: (H, W), below 0 where a pixel does not count.
        reading: how the cube is to be taken, as it was when it was segmented.
        cube: its file, where that is not the recorded one; a folder: the file there of the recorded name.
        checkpoint: likewise, a file.
        seed: of the choice of spectra.
        progress: called after each block with the name of the pass, the pixels done and all.

    Returns:
        The scores, None where the files are not there or have changed and the caller named no other; and why that is
        so, or what else should be known, in sentences.

    Raises:
        UserError: a file that the caller named does not exist or does not fit.
    """
    try:
        cube_file, checkpoint_file = _files(segmentation, cube, checkpoint)
        with Origin(cube_file, checkpoint_file) as origin:  # hashes them meanwhile
            with _opened(segmentation, cube_file, checkpoint_file, reading, progress) as (opened, model):
                found = input_space(labels, opened, model, seed=seed, progress=progress)
            changed = _changed(segmentation, origin, cube_file, checkpoint_file)
    except UserError as error:
        if cube is not None or checkpoint is not None:
            raise
        return None, (f"{LEFT_OUT}: {error}",)
    if found is None:
        return None, (f"{LEFT_OUT}: they need two clusters with pixels",)
    if changed and cube is None and checkpoint is None:
        return None, (f"{LEFT_OUT}: {changed}; --cube and --checkpoint take a file all the same",)
    return found, (changed,) if changed else ()


def cube_of(provenance: Provenance, cube: str | None = None) -> Path:
    """The file that was segmented.

    Args:
        provenance: of the segmentation.
        cube: another place of that file, or a folder that now holds it; None for the recorded place.

    Raises:
        UserError: there is no such file.
    """
    recorded = provenance.cube
    path = Path(recorded) if cube is None else Path(cube)
    if path.is_dir() and recorded:
        path /= Path(recorded).name
    if path.is_file():
        return path
    if not recorded and cube is None:
        raise UserError("the segmentation is that of a cube in memory")
    hint = "--cube FILE says where it is" if cube is None else f"expected the cube, recorded as {recorded or 'none'}"
    raise UserError(f"{path}: no such file; {hint}")


def _files(segmentation: Segmentation, cube: str | None, checkpoint: str | None) -> tuple[Path, Path | None]:
    cube_file = cube_of(segmentation.provenance, cube)
    if segmentation.baseline is not None:
        return cube_file, None
    name = checkpoint or segmentation.provenance.checkpoint
    if not name:
        raise UserError("the segmentation names no checkpoint, whose preprocessing is needed: segment again")
    if not Path(name).is_file():
        raise UserError(f"{name}: no such checkpoint; --checkpoint FILE says where it is")
    return cube_file, Path(name)


@contextmanager
def _opened(
    segmentation: Segmentation, cube: Path, checkpoint: Path | None, reading: CubeOptions, progress: Progress | None
) -> Iterator[tuple[SpectralCube, SegmentationModel]]:
    model = None if checkpoint is None else SpectralModel.load(checkpoint)
    recorded = None if model is None else model.reading
    with open_as_recorded(
        recorded, reading, str(cube), None, segmentation.measured_axis or segmentation.axis
    ) as opened:
        _check_axis(segmentation, opened)
        if model is not None:
            yield opened, model
        else:
            assert segmentation.baseline is not None
            yield opened, _baseline_model(segmentation, segmentation.baseline, opened, progress)


def _check_axis(segmentation: Segmentation, cube: SpectralCube) -> None:
    then, now = segmentation.measured_axis or segmentation.axis, cube.axis
    same_number = then.channels == now.channels
    if same_number and (now.unit == "channel" or then.difference(now) is None):
        return
    raise UserError(
        f"{cube.path} has the axis {now}, but was segmented with {then}: give the same --axis, --calibrate, --channels "
        "or --dataset as then"
    )


def _baseline_model(
    segmentation: Segmentation, record: BaselineRecord, cube: SpectralCube, progress: Progress | None
) -> SegmentationModel:
    """The preprocessing, fitted again on the sample that it was fitted on; the embedding is not needed."""
    preprocess = Preprocess(cube.shape[2], json.loads(record.preprocess))
    if preprocess.needs_fit:
        if cube.mask.shape != segmentation.labels.shape:
            raise UserError(f"{cube.path} has shape {cube.mask.shape}, the segmentation {segmentation.labels.shape}")
        cube.mask = segmentation.labels >= 0  # with a mask of the user's, if there was one
        seed = segmentation.provenance.seed
        fit_to_cube(preprocess, sample_cube(cube, record.sample, seed, progress)[1], cube, seed, progress)
    return BaselineModel(cube.axis, preprocess, Identity(preprocess.channels_out))


def _changed(segmentation: Segmentation, origin: Origin, cube: Path, checkpoint: Path | None) -> str:
    """A sentence if a file is not what was segmented, or segmented with."""
    then, (now, _) = segmentation.provenance, origin.provenance(segmentation.provenance.clusters, 0)
    for name, file, old, new in (
        ("cube", cube, then.cube_sha256, now.cube_sha256),
        ("checkpoint", checkpoint, then.checkpoint_sha256, now.checkpoint_sha256),
    ):
        if file is not None and old and new and old != new:
            return f"{file} is not the {name} of the segmentation: its SHA-256 differs"
    return ""
