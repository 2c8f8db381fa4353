"""auto_segment: from an array to a segmentation in one call.

Shapes: H rows, W columns, C channels, N spectra, K clusters.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.automatic.experiment import keys_of, without_neighbours
from deepspec.automatic.inputs import as_cube
from deepspec.automatic.kind import kind_of, split_for
from deepspec.automatic.watching import as_progress
from deepspec.data.ingestion import SPLIT, IngestPlan, ingest_cubes
from deepspec.data.scatter import leave_out_scatter
from deepspec.errors import UserError, described
from deepspec.files import MODEL
from deepspec.notes import note
from deepspec.progress import progress_bars
from deepspec.segmentation import SegmentOptions, segment_cube
from deepspec.training.run import train_telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from deepspec.automatic.kind import Kind
    from deepspec.axis import SpectralAxis
    from deepspec.clustering import Clusterer, ClustererConfig
    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation import Segmentation
    from deepspec.training.run import Run

RUN, RESULT = "run", "segmentation"
"""Folders that `out` gets: of the training, and of the segmentation."""


def auto_segment(
    data: Any,
    axis: SpectralAxis | str | None = None,
    k: int | tuple[int, int] | None = None,
    *,
    clusterer: str | ClustererConfig | Clusterer | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    experiment: str | Path | Mapping[str, Any] | None = None,
    mask: NDArray[Any] | None = None,
    device: str = "auto",
    progress: bool | Callable[[str, int, int], None] = True,
) -> Segmentation:
    """Train on the spectra of a datacube and divide it into clusters, with settings chosen by what the data are.

    This is `ingest`, `fit` and `segment --clusters refit` in one call. The data are looked at, and what they are taken
    for, why, and how they are trained is said in a line of the logger `deepspec`: counts (`xrf`), a cube of emission
    lines (`nebulae`), or reflectance (`hyperspectral`). An array without an axis is told apart by its values, which is
    a guess that is said: whole numbers of 0 and more, 1 % of them 0, are counts. Nothing is left on the disk unless
    `out` is given.

    >>> segmentation = deepspec.auto_segment(array, axis="0.5:38.5:keV")  # doctest: +SKIP
    >>> segmentation.plot().savefig("map.png")  # doctest: +SKIP

    Args:
        data: (H, W, C) or (N, C) numbers: an array of NumPy or dask, a DataArray of xarray, a signal of HyperSpy (lazy
            or not), a `SpectralCube`, or the path of a file that `read_cube` reads. Of an array the last dimension is
            the spectral one. Spectra without an image (N, C) give labels of shape (N, 1).
        axis: positions of the channels, a `SpectralAxis` or a text: `FIRST:LAST:UNIT`, `FILE:UNIT`, or the UNIT of the
            positions that the data have. Default: those of the data, else channel numbers.
        k: how many clusters, or the fewest and the most; default: found from the data, as the experiment says.
        clusterer: what divides the latent points; default the experiment's. See `SegmentOptions`.
        out: a new or empty folder that gets `run/` with the trained model and `segmentation/` with the segmentation,
            its figures and report.html, as `fit` and `segment` write them.
        seed: of all random choices, at least 0: the same data and seed give the same segmentation.
        experiment: how to train, in place of what is chosen: the name of a preset, the path of a YAML file, or its
            keys.
        mask: (H, W) or (N,), nonzero = the pixel may be used; default all.
        device: where to compute: cpu, cuda, or auto: cuda where there is one.
        progress: whether bars are shown in a terminal or notebook, or what is called with the name of a step, how much
            is done, and the whole.

    Returns:
        The segmentation. Coordinates of a DataArray and navigation axes of a signal are its `image_axes`, and come back
        in `to_xarray`.

    Raises:
        UserError: the data hold no usable spectra, an argument does not fit, or `out` holds something; in one line.
    """
    _check(seed, out)
    k = _checked_k(k)
    options = SegmentOptions(clusters="refit", k=k, seed=seed, device=device)
    with ExitStack() as stack:
        given = as_cube(data, axis, mask)
        cube = given.cube
        if given.opened:
            stack.callback(cube.close)
        kind = kind_of(cube)
        _say(kind, cube, experiment)
        show = stack.enter_context(_shown(progress))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deepspec-")))
        chosen = kind.experiment if experiment is None else experiment
        keys = keys_of(chosen)
        if given.is_table:
            keys = without_neighbours(keys)
        folder = scratch if out is None else Path(out)
        run = _trained(cube, keys, split_for(chosen) or SPLIT, folder / RUN, scratch / "shards", seed, device, show)
        checkpoint = None if out is None else run.folder / MODEL
        found = segment_cube(cube, run.model, options, clusterer=clusterer, checkpoint=checkpoint, progress=show)
        found = replace(found, image_axes=given.image_axes, notes=(kind.sentence, *found.notes))
        if out is not None:
            found = _written(
                found, cube, Path(out), {"k": k, "seed": seed, "axis": None if axis is None else str(axis)}
            )
    return found


def _checked_k(k: object) -> int | tuple[int, int] | None:
    """A number, or the fewest and the most; those of NumPy as Python's."""
    parts = k if isinstance(k, tuple) and len(k) == 2 else (k,)
    whole = [int(part) for part in parts if isinstance(part, (int, np.integer)) and not isinstance(part, bool)]
    if k is not None and len(whole) < len(parts):
        raise UserError(f"k: expected a whole number, a pair (fewest, most) or None, got {k!r}")
    return None if k is None else whole[0] if len(whole) == 1 else (whole[0], whole[1])


def _check(seed: object, out: str | Path | None) -> None:
    """Refuse what would fail after minutes."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed: expected a whole number of 0 or more, got {seed!r}")
    if out is None:
        return
    if not isinstance(out, (str, Path)):
        raise UserError(f"out: expected the path of a folder, got {described(out)}")
    if Path(out).is_file():
        raise UserError(f"{out} is a file; give another folder as out")
    if Path(out).is_dir() and (found := sorted(path.name for path in Path(out).iterdir())):
        raise UserError(f"{out} holds something already ({found[0]}); give another folder as out")


def _say(kind: Kind, cube: SpectralCube, experiment: object) -> None:
    rows, columns, _ = cube.shape
    what = f"{cube.path or 'the data'}: {rows} x {columns} pixels, {cube.axis}"
    if experiment is None:
        hint = "; give axis='FIRST:LAST:UNIT' to say what the channels are" if cube.axis.unit == "channel" else ""
        note(f"{what}: {kind.sentence}{hint}")
    else:
        named = experiment if isinstance(experiment, (str, Path)) else "that was given"
        note(f"{what}: trained by the experiment {named}, as asked for; {kind.name} by its looks ({kind.why})")


def _shown(progress: bool | Callable[[str, int, int], None]) -> Any:
    if callable(progress):
        return nullcontext(progress)
    return progress_bars() if progress else nullcontext(lambda step, done, total: None)


def _trained(
    cube: SpectralCube,
    keys: Mapping[str, Any],
    split: tuple[float, float, float],
    folder: Path,
    shards: Path,
    seed: int,
    device: str,
    show: Callable[[str, int, int], None],
) -> Run:
    """A model of the spectra; the shards that it is trained on are left for the caller to remove."""
    below_scatter = copy(cube)  # the caller's cube keeps its channels, and the model takes the first of them
    left_out = leave_out_scatter([below_scatter]) if cube.channels is None else None
    if left_out is not None:
        note(left_out.sentence.partition("; --channels")[0])
    pixels, done = cube.mask.size, {"read": 0, "write": 0}

    def counted(step: str, count: int) -> None:
        done[step] += count
        show("reading" if step == "read" else "writing", done[step], pixels)

    ingest_cubes([below_scatter], shards, IngestPlan(split, seed=seed), progress=counted)
    more = {} if device == "auto" else {"trainer.accelerator": "gpu" if device.startswith("cuda") else device}
    overrides: dict[str, Any] = {
        "data.root": shards,
        "run_dir": folder,
        "seed_everything": seed,
        "trainer.enable_progress_bar": False,
        "trainer.devices": 1,  # a call starts no processes on other devices
    }
    with _named(str(shards), str(cube.path or "the data")):
        return train_telling(keys, {**overrides, **more}, as_progress(show))


@contextmanager
def _named(folder: str, name: str) -> Iterator[None]:
    """Call a folder that nobody will find by another name in what the logger says while the block runs."""

    def rename(record: logging.LogRecord) -> bool:
        record.msg = str(record.msg).replace(folder, name)
        return True

    logger = logging.getLogger("deepspec")
    logger.addFilter(rename)
    try:
        yield
    finally:
        logger.removeFilter(rename)


def _written(found: Segmentation, cube: SpectralCube, out: Path, options: dict[str, Any]) -> Segmentation:
    """Write the folder of the segmentation."""
    from deepspec.reporting.outputs import parse_exports
    from deepspec.reporting.segmentation_folder import save_segmentation_folder

    checkpoint = out / RUN / MODEL
    found = save_segmentation_folder(
        found,
        out / RESULT,
        exports=parse_exports("auto", cube.path or Path("array"), checkpoint),
        scale="auto",
        redshift=(0.0, 0.0),
        dataset=None,
        options={"data": str(cube.path or "in memory"), **options},
    )
    note(f"wrote {out / RESULT}, and the model {checkpoint}")
    return found
