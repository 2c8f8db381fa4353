"""`deepspec map SCAN...`: from scans to maps, spectra and a report in one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepspec.command import run_command
from deepspec.data.cube_options import CubeOptions, masks_of
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.automatic.mapping import Step, Todo

PROG = "deepspec map"


def map_scans(
    scans: list[str],
    out: str | None = None,
    k: int | tuple[int, int] | None = None,
    experiment: str | None = None,
    mask: str | list[str] | None = None,
    tube: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    *,
    reading: CubeOptions,
) -> None:
    """Look at scans, train a model on them, divide them into clusters, and write maps, spectra and a report of each.

    The commands that this stands for are printed as they run and kept in OUT/commands.sh, so that a single one of them
    can be changed. The same command again goes on where it was stopped, and keeps what is done.

    Args:
        scans: the files, or folders of them. Several scans are taken for scans of one object: one model is trained on
            all of them, and its clusters have the same numbers and colours in every map.
        out: folder for everything; default NAME-map in the current directory, NAME being that of the scan or the
            folder, and map for several.
        k: number of clusters, or the fewest and the most; default what is found in the data.
        experiment: how to train, in place of what the data are taken for: xrf, hyperspectral, nebulae, another preset
            (see `deepspec experiments`), or the path of a YAML file.
        mask: image of valid (nonzero) pixels, FILE or FILE:KEY; one for all, a list with one for each scan, or with
            {name} for the name of each scan, as in masks/{name}.png.
        tube: anode of the X-ray tube (Rh, Mo, Ag, Pd, W, Cr), or none; see `ingest`.
        seed: seed of all random choices, from 0 on.
        overwrite: replace what was made from other files or with other options in `out`.
        reading: how each file is to be taken.
    """
    from deepspec.automatic.kind import kind_of_all
    from deepspec.automatic.mapping import MapRequest, Record, planned, what_is_left, write_commands
    from deepspec.data.readers.folder import cube_files
    from deepspec.lines.tube import check_tube
    from deepspec.presets import find_config

    check_tube(tube)
    if seed < 0:
        raise UserError(f"seed: expected a whole number of 0 or more, got {seed}")
    low, high = (k, k) if isinstance(k, int) else k or (1, 1)
    if not 1 <= low <= high:
        raise UserError(f"k: expected 1 <= fewest <= most clusters, got {low} and {high}")
    if experiment is not None:
        try:
            find_config(experiment, "experiments")
        except UserError as error:
            raise UserError(f"--experiment {str(error).removeprefix('--config ')}") from error
    for scan in scans:
        if not Path(scan).exists():
            raise UserError(f"{scan}: no such file")
    folder = Path(out) if out is not None else _default_folder(scans)
    record = Record.read(folder)
    files = cube_files(scans, reading.spatial_shape)
    opened: list[Any] = []
    try:
        for file, own_mask in zip(files, masks_of(mask, files), strict=True):
            opened.append(reading.open(file, own_mask))
        kind = None if experiment is not None else kind_of_all(opened)
        sentences = [_told(cube, kind) for cube in opened]
    finally:
        for cube in opened:
            cube.close()
    request = MapRequest(
        tuple(scans),
        folder,
        experiment if kind is None else kind.experiment,  # type: ignore[arg-type]
        k,
        mask,
        tube,
        seed,
        reading,
    )
    for sentence in sentences:
        print(sentence, flush=True)
    steps = planned(request)
    todo = what_is_left(steps, record, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    commands = write_commands(folder, steps, sentences)
    for step in steps:
        if step.verb != "ingest" and step.name not in [left.step.name for left in todo]:
            print(f"{step.folder} is kept, made before from the same files with the same options", flush=True)
    status = _run(todo, record)
    if status:
        raise SystemExit(status)
    print(f"\nthe commands are in {commands}; look at")
    for step in steps:
        if step.verb == "segment":
            print(f"  {step.folder / 'report.html'}")


def _default_folder(scans: Sequence[str]) -> Path:
    return Path(f"{Path(scans[0]).stem}-map" if len(scans) == 1 else "map")


def _told(cube: Any, kind: Any) -> str:
    """What a scan is, and what it is taken for."""
    from deepspec.automatic.kind import sample_of

    rows, columns, _ = cube.shape
    what = f"{cube.path}: {rows} x {columns} pixels, {cube.axis}"
    if kind is None:
        return what
    dose = f", {sample_of(cube).sum(1).mean():,.0f} in a spectrum" if kind.name == "counts" else ""
    return f"{what}{dose}: {kind.sentence}"


def _run(todo: Sequence[Todo], record: Any) -> int:
    """Run the commands in this process, which saves importing torch again; one scan that fails stops no other.

    Returns:
        The exit status.
    """
    from deepspec.fit import main as fit
    from deepspec.ingest import main as ingest
    from deepspec.segment import main as segment

    verbs = {"ingest": ingest, "fit": fit, "segment": segment}
    failed = 0
    for left in todo:
        step: Step = left.step
        print(f"\n$ {left.command}", flush=True)
        record.begin(step)
        try:
            verbs[step.verb](list(left.words))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            if code and step.verb == "segment" and code < 128:
                failed = failed or code
                continue
            if code:
                return code
        record.end(step)
    return failed


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_command(
        map_scans,
        prog=PROG,
        positional="scans",
        many=True,
        args=args,
        groups={"reading": CubeOptions},
    )


if __name__ == "__main__":
    main(sys.argv[1:])
