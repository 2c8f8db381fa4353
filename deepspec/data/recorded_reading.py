"""How the cubes of a training set were read, kept in its shards and in the checkpoint, for cubes to segment.

A raw cube of the same instrument needs the same axis, the same channels given away and the same detector. It is of the
same instrument if it has as many stored channels, and if its file gives the same axis as theirs did, or as they none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.data.cube_options import NAME
from deepspec.data.scatter import begins_with, keep_first
from deepspec.errors import UserError
from deepspec.notes import note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepspec.data.cube import SpectralCube
    from deepspec.data.cube_options import CubeOptions


def record_reading(
    cube: SpectralCube,
    reading: CubeOptions,
    mask: str | list[str] | None,
    paths: Sequence[str],
    below_scatter: int | None = None,
) -> dict[str, Any]:
    """What to keep of how cubes were read, in plain types.

    Args:
        cube: the first of them, open.
        reading: the options of all.
        mask: as the user gave it.
        paths: files of the cubes.
        below_scatter: how many channels were kept of those read with the options, see `leave_out_scatter`; None: all.
    """
    own = cube.stored_axis
    masks = [mask] * len(paths) if isinstance(mask, str) else mask
    return {
        "stored_channels": int(cube.arrays[0].shape[cube.layout.spectral]),
        "own_axis": None if own is None or own.unit == "channel" else own.to_dict(),
        "channels": None if cube.channels is None else [int(c) for c in cube.channels],
        "below_scatter": below_scatter,
        "detector": reading.detector,
        "options": {k: v for k in ("axis", "calibrate", "channels") if (v := getattr(reading, k)) is not None},
        "mask": str(Path(mask).absolute()) if isinstance(mask, str) and NAME in mask else None,
        "masks": {
            str(Path(path).absolute()): str(Path(own_mask.replace(NAME, Path(path).stem)).absolute())
            for path, own_mask in zip(paths, masks or [], strict=False)
        },
    }


def open_as_recorded(
    recorded: Mapping[str, Any] | None, reading: CubeOptions, path: str, mask: str | None, axis: SpectralAxis
) -> SpectralCube:
    """Open a cube with the user's options and, where they leave it open, as the cubes of the training were read.

    What is taken from there is printed.

    Args:
        recorded: what `record_reading` kept; None if it is not known.
        reading: the user's options.
        path: the file.
        mask: the user's mask.
        axis: of the model's channels.

    Raises:
        UserError: the file cannot be read as asked.
    """
    if recorded is None:
        return reading.open(path, mask)
    said = []
    if mask is None and (known := _mask_of(recorded, path)) is not None:
        mask = known
        said.append(f"--mask {mask}")
    detector = recorded["detector"]
    cube = None
    if reading.detector == "sum" and detector != "sum":
        try:
            cube = replace(reading, detector=detector).open(path, mask)
            said.append(f"--detector {detector}")
        except UserError:  # a cube without that detector; what is wrong besides is said by the next attempt
            cube = None
    if cube is None:
        cube = reading.open(path, mask)
    limit = recorded.get("below_scatter")  # not in checkpoints of earlier versions
    if limit == axis.channels and reading.channels is None and begins_with(cube.axis, axis):
        said.append(f"{limit} of {cube.axis.channels} channels, which end below the tube's scattered lines,")
        keep_first(cube, limit)
    told = (reading.axis, reading.calibrate, reading.channels) != (None, None, None)
    if not told and not axis.matches(cube.axis) and _is_of_the_same_instrument(recorded, cube):
        cube.axis = axis
        cube.channels = None if recorded["channels"] is None else np.array(recorded["channels"], dtype=np.int64)
        given = " ".join(f"--{name} {value}" for name, value in recorded["options"].items())
        kept, stored = axis.channels, recorded["stored_channels"]
        said.append(
            (given or f"{kept} of {stored} channels")
            + (f" ({kept} of {stored} channels)" if given and kept != stored else "")
        )
    if said:
        note(f"{path}: took {', '.join(said)} from the checkpoint, as its training data were read")
    return cube


def _mask_of(recorded: Mapping[str, Any], path: str) -> str | None:
    """The mask of the same cube in the training, or of a cube of this name."""
    found: str | None = recorded["masks"].get(str(Path(path).absolute()))
    if found is None and recorded["mask"] is not None:
        found = str(recorded["mask"]).replace(NAME, Path(path).stem)
    if found is None:
        return None
    # FILE or FILE:KEY
    return found if Path(found).exists() or Path(found.rpartition(":")[0] or found).is_file() else None


def _is_of_the_same_instrument(recorded: Mapping[str, Any], cube: SpectralCube) -> bool:
    if cube.arrays[0].shape[cube.layout.spectral] != recorded["stored_channels"]:
        return False
    own = cube.stored_axis
    if own is None or own.unit == "channel":
        return recorded["own_axis"] is None
    return recorded["own_axis"] is not None and SpectralAxis.from_dict(recorded["own_axis"]).matches(own)
