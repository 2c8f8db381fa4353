"""`python -m deepspec.segment CUBE --checkpoint MODEL`: label the pixels of a cube by the clusters of a model."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID

    from deepspec.segmentation import Segmentation

RESULT = "segmentation.h5"
FIGURES = ("labels.png", "masks.png", "spectra.png", "clusters.png", "integrated.png", "silhouette.png")


def segment(
    cube: str,
    checkpoint: str,
    out: str | None = None,
    clusters: Literal["frozen", "refit"] = "frozen",
    k: tuple[int, int] = (3, 10),
    dataset: str | None = None,
    spectral_dim: int | None = None,
    spatial_shape: tuple[int, int] | None = None,
    order: Literal["C", "F"] = "C",
    detector: int | Literal["sum"] = "sum",
    detector_dim: int | None = None,
    channels: str | None = None,
    axis: str | None = None,
    calibrate: str | None = None,
    mask: str | None = None,
    rebin: bool = False,
    scale: Literal["auto", "linear", "sqrt", "log"] = "auto",
    sample: int = 32768,
    restarts: int = 3,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Segment a cube of any format that read_cube knows with a fitted model, and draw its clusters and their spectra.

    Args:
        cube: the file.
        checkpoint: the model: model.ckpt of a run folder.
        out: folder for the results; default CUBE-segmentation in the current directory.
        clusters: frozen: the clusters of the training, with their numbers; refit: new ones found in this cube.
        k: fewest and most clusters to try with refit.
        dataset: name of the array in the file (HDF5 path, NPZ key, MATLAB variable, FITS extension, TIFF stack).
        spectral_dim: which dimension of the stored array is the spectral one, from 0.
        spatial_shape: rows and columns of the image, for files with one row per spectrum.
        order: how such pixels are counted: C along the rows, F along the columns.
        detector: number of the detector to take, or sum.
        detector_dim: which dimension of a 4-D array holds the detectors.
        channels: ranges of channels to keep, such as 0:107,113:153.
        axis: the spectral axis as FIRST:LAST:UNIT, FILE:UNIT, or the UNIT of the axis found in the file.
        calibrate: instead of axis, two X-ray lines and the channels of their peaks, such as Fe-Ka=641,Cu-Ka=806.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY.
        rebin: bring a cube on another axis onto that of the model.
        scale: of the intensities in the figures; auto is sqrt where peaks tower above the rest.
        sample: pixels that refit clusters before refining on all.
        restarts: K-means runs for each number of clusters.
        seed: of everything random.
        device: cpu, cuda, or auto: cuda where there is one.
        overwrite: replace an earlier segmentation in `out`.
    """
    folder = Path(out) if out is not None else Path(f"{Path(cube).stem}-segmentation")
    _check_folder(folder, overwrite=overwrite)
    if not Path(cube).is_file():
        raise UserError(f"{cube}: no such file")
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from rich.console import Console
    from rich.progress import Progress

    from deepspec.data.cube import read_cube
    from deepspec.models import SpectralModel
    from deepspec.segmentation import segment_cube

    model = SpectralModel.load(checkpoint)
    opened = read_cube(
        cube,
        dataset=dataset,
        spectral_dim=spectral_dim,
        spatial_shape=spatial_shape,
        order=order,
        detector=detector,
        detector_dim=detector_dim,
        channels=channels,
        axis=axis,
        calibrate=calibrate,
        mask=mask,
    )
    with opened, Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done)

        segmentation = segment_cube(
            opened,
            model,
            clusters=clusters,
            k=k,
            rebin=rebin,
            sample=sample,
            restarts=restarts,
            seed=seed,
            device=_device(device),
            checkpoint=checkpoint,
            progress=show,
        )
    _write(segmentation, folder, scale)
    _report(segmentation, folder)


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything but an earlier segmentation, and that too unless it may be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; give another folder with --out")
    ours = {RESULT, *FIGURES}
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if others:
        raise UserError(f"{folder} holds something else than a segmentation ({others[0]}); give another --out")
    if any(folder.iterdir()) and not overwrite:
        raise UserError(f"{folder} holds an earlier segmentation; --overwrite true replaces it, or give another --out")


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device '{name}' cannot be used ({str(error).splitlines()[0]}); try --device cpu") from error
    return name


def _write(segmentation: Segmentation, folder: Path, scale: Literal["auto", "linear", "sqrt", "log"]) -> None:
    """Write everything into a hidden folder, which gets its name when it is complete."""
    from deepspec.reporting import save_figures

    place = folder.absolute()
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        segmentation.save(part / RESULT)
        save_figures(segmentation, part, scale)
        if place.exists():
            shutil.rmtree(place)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _report(segmentation: Segmentation, folder: Path) -> None:
    from deepspec.reporting.maps import cluster_name, headline

    print(headline(segmentation))
    for cluster in range(segmentation.k):
        print(f"  {cluster_name(segmentation, cluster)}, {segmentation.sizes[cluster]} pixels")
    print(segmentation.structure.sentence)
    for note in segmentation.notes:
        print(note)
    for path in sorted(folder.iterdir()):
        print(f"wrote {path}")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(segment, prog="python -m deepspec.segment", positional="cube", args=args)


if __name__ == "__main__":
    main()
