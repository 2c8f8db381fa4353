"""`deepspec ingest CUBE... --out DIR`: measured cubes in, shuffled shards for training out."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.progress import Progress

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions, masks_of
from deepspec.data.few_open import FewOpenFiles
from deepspec.data.ingestion import SPLIT, By, IngestPlan, ingest_cubes
from deepspec.data.readers.folder import cube_files
from deepspec.data.recorded_reading import record_reading
from deepspec.data.scatter import leave_out_scatter
from deepspec.data.shards.manifest import ShardSet
from deepspec.data.shards.writer import check_output
from deepspec.data.spectra_file import SpectraTable, open_spectra
from deepspec.errors import UserError
from deepspec.lines.tube import NO_TUBE, check_tube

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.data.cube import SpectralCube


def ingest(
    cubes: list[str],
    out: str | None = None,
    split: tuple[float, float, float] | None = None,
    by: Literal["auto", "image", "block", "name"] = "auto",
    mask: str | list[str] | None = None,
    rebin: bool = False,
    keep: float = 1.0,
    rows_per_shard: int = 262144,
    seed: int = 0,
    overwrite: bool = False,
    verify: bool = False,
    tube: str | None = None,
    *,
    reading: CubeOptions,
) -> None:
    """Write the spectra of cubes of any format that read_cube knows into shuffled shards for training.

    Args:
        cubes: the files, or folders of them; with `verify` folders of shards instead.
        out: folder to write the shards and their manifest to.
        split: shares of the pixels for training, validation and test; default 0.8 0.1 0.1. If it is given and there are
            three images or more, whole images are kept for validation and test; see `by`.
        by: what a split consists of. block: square blocks of each image, so that every image is trained on. image:
            whole images. name: images, by the word train, val or test in the name of the file or of the spectra in it.
            auto: image if `split` is given and there are three images or more, else block.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY; one for all, a list with one for each cube, or with
            {name} for the name of each cube, as in masks/{name}.png.
        rebin: bring cubes on another axis onto that of the first.
        keep: share of the pixels to keep, chosen at random.
        rows_per_shard: largest number of spectra in one shard file.
        seed: seed of the shuffling and of all other random choices.
        overwrite: replace the shards in `out`.
        verify: read the given folders of shards and compare every chunk with its checksum; writes nothing.
        tube: anode of the X-ray tube (Rh, Mo, Ag, Pd, W, Cr), or none. The channels of XRF counts end below the
            scattered lines of this anode. Without this option the anode is taken from the file, or else found in the
            spectra. If `channels` is given, it has no effect.
        reading: how each file is to be taken.
    """
    check_tube(tube)
    if verify:
        for folder in cubes:
            _verify(folder)
        return
    if out is None:
        raise UserError("--out is missing: give the folder that the shards are to be written into")
    check_output(Path(out), overwrite)
    cubes = cube_files(cubes, reading.spatial_shape)
    IngestPlan(split or SPLIT, keep=keep)  # a mistake in the numbers is told before files are opened
    with FewOpenFiles() as files:
        opened = [
            cube
            for path, cube_mask in zip(cubes, masks_of(mask, cubes), strict=True)
            for cube in files.take(partial(_open, path, reading, cube_mask))
        ]
        chosen: By = by if by != "auto" else "image" if split is not None and len(opened) >= 3 else "block"
        plan = IngestPlan(split or SPLIT, chosen, keep, rebin, seed)
        scatter = leave_out_scatter(opened, tube) if reading.channels is None else None
        if scatter is not None:
            print(scatter.sentence, file=sys.stderr)
        elif tube not in (None, NO_TUBE):
            print(
                f"--tube {tube} had no effect: channels are left out only without --channels, of integer counts over "
                "rising energies in keV that reach beyond the K lines of the anode, and from 15 keV on",
                file=sys.stderr,
            )
        pixels = sum(cube.mask.size for cube in opened)
        with Progress(console=Console(stderr=True)) as bar:
            tasks = {"read": bar.add_task("reading", total=pixels), "write": bar.add_task("writing", total=pixels)}
            shards = ingest_cubes(
                opened,
                Path(out),
                plan,
                rows_per_shard=rows_per_shard,
                overwrite=overwrite,
                progress=lambda step, n: bar.advance(tasks[step], n),
                reading=None
                if isinstance(opened[0], SpectraTable)
                else record_reading(opened[0], reading, mask, cubes, None if scatter is None else scatter.limit),
            )
            bar.update(tasks["write"], completed=pixels)  # dead and masked pixels count as done
        _report(shards, opened, chosen)


def _open(path: str, reading: CubeOptions, mask: str | None) -> list[SpectralCube]:
    return _tables(path, reading, mask) or [reading.open(path, mask, training=True)]


def _tables(path: str, reading: CubeOptions, mask: str | None) -> list[SpectralCube]:
    """Tables of spectra in a file; none if it holds cubes, or if an option for images is given for it."""
    if mask or reading.spatial_shape:
        return []
    found = open_spectra(
        Path(path),
        dataset=reading.dataset,
        channels=reading.channels,
        axis=reading.axis,
        calibrate=reading.calibrate,
    )
    return [*(found or [])]


def _report(shards: ShardSet, cubes: Sequence[SpectralCube], by: By) -> None:
    print(f"{shards.root}: {shards.axis}, {shards.dtype}")
    pixels = sum(cube.mask.size for cube in cubes)
    rows = sum(shards.rows(split) for split in shards.splits)
    for split in shards.splits:
        entries = shards.entries(split)
        size = sum(entry.bytes for entry in entries)
        ratio = size / (shards.rows(split) * shards.channels * shards.dtype.itemsize)
        print(
            f"  {split}: {shards.rows(split)} spectra, {len(entries)} shard{'s' if len(entries) > 1 else ''}, "
            f"{size / 1e6:.1f} MB ({ratio:.2f} of the uncompressed size)"
        )
    print(f"  left out: {pixels - rows} of {pixels} pixels (masked, dead or not kept)")
    if by == "block" and len(shards.splits) > 1:
        whole = "give three images or more and --split to" if len(cubes) < 3 else "--split 0.8 0.1 0.1 would"
        print(
            f"  splits are blocks of {'the same image' if len(cubes) == 1 else 'each image'}: neighbours resemble each "
            f"other, so validation and test are not independent of training; {whole} keep whole images for them"
        )
    if by == "image":
        print(f"  splits are whole images: {len(cubes)} images, each in one split alone (--by block trains on all)")


def _verify(folder: str) -> None:
    shards = ShardSet(folder)
    rows = sum(shards.rows(split) for split in shards.splits)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("verifying", total=rows)
        shards.verify(lambda _, n: bar.advance(task, n))
    count = sum(len(shards.entries(split)) for split in shards.splits)
    print(f"{folder}: {count} shards, {rows} spectra, every checksum matches")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        ingest,
        prog="deepspec ingest",
        positional="cubes",
        many=True,
        args=args,
        groups={"reading": CubeOptions},
    )


if __name__ == "__main__":
    main()
