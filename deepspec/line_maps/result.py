"""LineMaps: images of lines with their errors and units, and the HDF5 that keeps them.

Shapes: H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import h5py
import numpy as np

from deepspec.data.hdf5_file import read_hdf5, sealed_hdf5, whole
from deepspec.errors import UserError, did_you_mean
from deepspec.files import complete_or_absent

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = "deepspec-line-maps"
VERSION = 1

Kind = Literal["elements", "emission"]


@dataclass(frozen=True, eq=False)
class LineMap:
    """One image."""

    name: str
    """As in "Fe K", "[OIII]5007 velocity"."""
    quantity: str
    """What it is: "lines of the element", "flux", "velocity", "velocity dispersion"."""
    unit: str
    """Of the values: "counts", "km/s", ..., "" where the file gives none."""
    position: float
    """Of the line, or of the main line of an element, in the unit of the cube's axis."""
    values: NDArray[np.float32]
    """(H, W), NaN where there is no spectrum, and of velocities where the line is not significant."""
    errors: NDArray[np.float32]
    """(H, W) standard deviations by the noise of the cube."""

    @property
    def file_name(self) -> str:
        """The name with letters, digits, + and - only, for files."""
        kept = (c if c.isascii() and (c.isalnum() or c in "+-") else "-" for c in self.name.translate(_LATIN))
        return "-".join(filter(None, "".join(kept).split("-")))


_LATIN = str.maketrans({"α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "[": "", "]": "", "λ": ""})


@dataclass(frozen=True, eq=False)
class LineMaps:
    """The maps of one cube."""

    kind: Kind
    """elements: of an energy axis; emission: of wavelengths."""
    maps: tuple[LineMap, ...]
    """By energy or wavelength, those of one line beside each other."""
    axis_unit: str
    """Of the positions."""
    notes: tuple[str, ...] = ()
    """What should be known about them, in sentences."""
    origin: dict[str, str] = field(default_factory=dict)
    """What they were made from and how: cube, its SHA-256, version, date, options."""

    def __post_init__(self) -> None:
        """Check that the maps belong together.

        Raises:
            UserError: there is none, sizes differ, or a name is there twice.
        """
        shapes = {array.shape for each in self.maps for array in (each.values, each.errors)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise UserError(f"line maps: expected images of one size, got {sorted(shapes) or 'none'}")
        if len({each.name for each in self.maps}) < len(self.maps):
            raise UserError("line maps: a name is there twice")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.maps[0].values.shape
        return rows, columns

    @property
    def names(self) -> list[str]:
        """Of all maps."""
        return [each.name for each in self.maps]

    def __getitem__(self, name: str) -> LineMap:
        """The map of a name, such as `maps["Fe K"].values`.

        Raises:
            KeyError: there is none; the message names the nearest.
        """
        for each in self.maps:
            if each.name == name:
                return each
        raise KeyError(f"no map '{name}'{did_you_mean(name, self.names, otherwise='list')}")

    def save(self, path: Path) -> None:
        """Write an HDF5 file, which appears under its name when complete.

        A group for each map, with the datasets `values` and `errors` (H, W) float32 and attributes `name`, `quantity`,
        `unit`, `position` and `position_unit`; attributes of the file say what it was made from.
        """
        with complete_or_absent(path) as part, sealed_hdf5(part) as file:
            file.attrs.update(format=FORMAT, version=VERSION)
            self.write(file)

    def write(self, group: h5py.Group) -> None:
        """Write into a group of an open file, as `save` does."""
        group.attrs.update(kind=self.kind, axis_unit=self.axis_unit, **self.origin)
        group.attrs["origin"] = np.array(list(self.origin), dtype=h5py.string_dtype())
        group.attrs["notes"] = np.array(self.notes, dtype=h5py.string_dtype())
        for number, each in enumerate(self.maps):
            own = group.create_group(f"{number:03d}-{each.file_name}")
            own.attrs.update(
                name=each.name,
                quantity=each.quantity,
                unit=each.unit,
                position=each.position,
                position_unit=self.axis_unit,
            )
            for name in ("values", "errors"):
                own.create_dataset(name, data=getattr(each, name), compression="gzip", compression_opts=1, shuffle=True)

    @classmethod
    def read(cls, group: h5py.Group) -> LineMaps:
        """Read what `write` wrote.

        Raises:
            LookupError, UserError: it is something else, or damaged.
        """
        maps = [
            LineMap(
                name=str(own.attrs["name"]),
                quantity=str(own.attrs["quantity"]),
                unit=str(own.attrs["unit"]),
                position=float(own.attrs["position"]),
                values=whole(own["values"]),
                errors=whole(own["errors"]),
            )
            for _, own in sorted(group.items())
        ]
        return cls(
            kind=group.attrs["kind"],
            maps=tuple(maps),
            axis_unit=str(group.attrs["axis_unit"]),
            notes=tuple(group.attrs["notes"].tolist()),
            origin={name: str(group.attrs[name]) for name in group.attrs["origin"].tolist()},
        )

    @classmethod
    def load(cls, path: Path) -> LineMaps:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged, or something else.
        """
        if not path.is_file():
            raise UserError(f"{path}: no such file; `maps` writes maps.h5 into its output folder")
        try:
            with read_hdf5(path) as file:
                if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
                    raise UserError(f"{path}: expected maps of version {VERSION} written by deepspec maps")
                return cls.read(file)
        except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}: expected maps written by deepspec maps, got a file that is damaged") from error
