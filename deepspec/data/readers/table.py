"""The table of readers: which function opens a file of which format.

A format of our own is a file beside this one, a line here, and its signature in `signature.py`. Another package adds
one by the entry point `deepspec.readers`, or with `READERS.register`: an object with `recognises` and `open`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from deepspec.errors import UserError
from deepspec.extensions import Extensible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.data.readers.stored import Stored


class Reader(Protocol):
    """What opens the files of one format."""

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format; asked before our own readers look at it.

        Args:
            path: an existing file.
            head: its first bytes, at most 4,096.
        """

    def open(self, path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
        """Open the array of a name, without reading it.

        Args:
            path: the file.
            dataset: name of the array; None: the one that is a cube.
            dims: numbers of dimensions that it may have.

        Raises:
            UserError: the file is damaged, or has no such array.
        """


@dataclass(frozen=True)
class _Own:
    """A reader of ours; its module is imported when a file of its format is met, for astropy alone takes half a second.

    Args:
        function: as `module:name`, called with the path, the name of the array and the numbers of dimensions.
        kind: of the format, where a file of it holds one array without a name: the function is not given one.
    """

    function: str
    kind: str | None = None

    def recognises(self, path: Path, head: bytes) -> bool:
        """Our own formats are told apart together, by `file_format`."""
        return False

    def open(self, path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
        """Open the array."""
        if self.kind is not None and dataset is not None:
            raise UserError(f"{path}: a {self.kind} file holds one array without a name: leave dataset out")
        module, _, name = self.function.partition(":")
        function = getattr(import_module(f"deepspec.data.readers.{module}"), name)
        stored: Stored = function(path, dims) if self.kind is not None else function(path, dataset, dims)
        return stored


def _check_reader(name: str, reader: Reader) -> None:
    for method in ("recognises", "open"):
        if not callable(getattr(reader, method, None)) or isinstance(reader, type):
            raise UserError(
                f"expected an object with recognises(path, head) and open(path, dataset, dims), got {reader!r}"
            )


READERS: Extensible[Reader] = Extensible(
    "reader",
    "deepspec.readers",
    {
        "HDF5": _Own("hdf5:open_hdf5"),
        "NPY": _Own("numpy_files:open_npy", "NPY"),
        "NPZ": _Own("numpy_files:open_npz"),
        "MATLAB": _Own("matlab:open_matlab"),
        "FITS": _Own("fits:open_fits"),
        "ENVI": _Own("envi:open_envi", "ENVI"),
        "RPL": _Own("ripple:open_ripple", "RPL"),
        "EMSA": _Own("emsa:open_emsa", "EMSA"),
        "TIFF": _Own("tiff:open_tiff"),
        "Zarr": _Own("zarr_store:open_zarr"),
        "EDF": _Own("edf:open_edf_file", "EDF"),
        "MCA": _Own("spectrum_files:open_mca", "MCA"),
        "SPE": _Own("spectrum_files:open_spe", "SPE"),
        "gzip": _Own("gzipped:open_gzip"),
        "folder": _Own("cube_folder:open_folder", "folder"),
        "RosettaSciIO": _Own("rosetta:open_rosetta"),
    },
    check=_check_reader,
)
"""All readers by the name of their format, in the order in which messages list them."""


def outside_format(path: Path, head: bytes) -> str | None:
    """The format of another package's reader that recognises a file, if there is one."""
    return next((name for name in READERS.added if READERS[name].recognises(path, head)), None)


def cube_formats() -> list[str]:
    """Names of the formats that a single file may have."""
    return [name for name in READERS if name not in ("folder", "RosettaSciIO")]
