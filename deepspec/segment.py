"""`python -m deepspec.segment CUBE --checkpoint MODEL`: label the pixels of a cube by the clusters of a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence


def segment(
    cube: str,
    checkpoint: str,
    out: str | None = None,
    clusters: Literal["frozen", "refit"] = "frozen",
    k: tuple[int, int] = (3, 10),
    mask: str | None = None,
    rebin: bool = False,
    scale: Literal["auto", "linear", "sqrt", "log"] = "auto",
    export: str = "auto",
    redshift: tuple[float, float] = (0.0, 0.0),
    sample: int = 32768,
    restarts: int = 3,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    *,
    reading: CubeOptions,
) -> None:
    """Segment a cube of any format that read_cube knows with a fitted model, and draw its clusters and their spectra.

    Args:
        cube: the file.
        checkpoint: the model: model.ckpt of a run folder.
        out: folder for the results; default CUBE-segmentation in the current directory.
        clusters: frozen: the clusters of the training, with their numbers; refit: new ones found in this cube.
        k: fewest and most clusters to try with refit.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY.
        rebin: bring a cube on another axis onto that of the model.
        scale: of the intensities in the figures; auto is sqrt where peaks tower above the rest.
        export: what to write beside the segmentation and its figures, with commas between: report, tiff, fits, csv,
            msa, masks, svg, pdf, training; auto: report, tiff, csv, and fits of a FITS cube; none; all.
        redshift: lowest and highest redshift at which to look for emission lines, for wavelengths.
        sample: pixels that refit clusters before refining on all.
        restarts: K-means runs for each number of clusters.
        seed: of everything random.
        device: cpu, cuda, or auto: cuda where there is one.
        overwrite: replace an earlier segmentation in `out`.
        reading: how the file is to be taken.
    """
    own = {name: value for name, value in locals().items() if name not in ("reading", "overwrite")}
    options = own | asdict(reading)
    folder = Path(out) if out is not None else Path(f"{Path(cube).stem}-segmentation")
    if not Path(cube).is_file():
        raise UserError(f"{cube}: no such file")
    # Only now: they take seconds to import, which neither --help nor a mistyped name should cost.
    from deepspec.reporting.outputs import parse_exports
    from deepspec.reporting.segmentation_folder import check_segmentation_folder, write_segmentation_folder

    exports = parse_exports(export, Path(cube), Path(checkpoint))
    check_segmentation_folder(folder, redshift, overwrite=overwrite)
    from deepspec.models import SpectralModel
    from deepspec.progress import progress_bars
    from deepspec.segmentation import segment_cube
    from deepspec.segmentation.device import choose_device

    model = SpectralModel.load(checkpoint)
    opened = reading.open(cube, mask)
    with opened, progress_bars() as show:
        segmentation = segment_cube(
            opened,
            model,
            clusters=clusters,
            k=k,
            rebin=rebin,
            sample=sample,
            restarts=restarts,
            seed=seed,
            device=choose_device(device),
            checkpoint=checkpoint,
            progress=show,
        )
    write_segmentation_folder(
        segmentation, folder, exports=exports, scale=scale, redshift=redshift, dataset=reading.dataset, options=options
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        segment, prog="python -m deepspec.segment", positional="cube", args=args, groups={"reading": CubeOptions}
    )


if __name__ == "__main__":
    main()
