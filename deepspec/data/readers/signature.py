"""Tell a file's format by its content; the extension serves only to word the error.

Names of the formats that RosettaSciIO alone reads; the library itself is imported elsewhere, when it is used.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import h5py

from deepspec.data.hdf5_file import read_hdf5
from deepspec.data.readers.table import cube_formats, outside_format
from deepspec.errors import UserError

FOREIGN = {
    ".app5": "Topspin",
    ".asw": "JEOL",
    ".bcf": "Bruker",
    ".blo": "NanoMegas blockfile",
    ".de5": "Direct Electron EMD",
    ".dm3": "Digital Micrograph",
    ".dm4": "Digital Micrograph",
    ".eds": "JEOL",
    ".elid": "Phenom",
    ".emd": "Velox EMD",
    ".emi": "FEI TIA",
    ".mib": "Quantum Detectors",
    ".mrc": "MRC",
    ".mrcz": "MRCZ",
    ".nc": "netCDF",
    ".prz": "PantaRhei",
    ".pro": "Digital Surf",
    ".pts": "JEOL",
    ".ser": "FEI TIA",
    ".spc": "EDAX",
    ".spd": "EDAX",
    ".spx": "Bruker",
    ".sur": "Digital Surf",
    ".tvf": "TriVista",
    ".tvips": "TVIPS",
    ".unf": "Semper",
    ".wdf": "Renishaw",
    ".xml": "Horiba JobinYvon",
}
HDF5_EXTENSIONS = (".emd", ".de5")  # HDF5 inside, but in an order that only the library knows


ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")
PARTS = (".mca", ".spe", ".msa", ".emsa", ".edf")  # of files that may be a part of a cube each

_SIGNATURES = {
    b"\x93NUMPY": "NPY",
    b"PK\x03\x04": "NPZ",
    b"\x1f\x8b\x08": "gzip",
    b"SIMPLE  =": "FITS",
    b"MATLAB 5.0": "MATLAB",
    b"\x89PNG": "PNG",
    b"ENVI": "ENVI",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_EXTENSIONS = {
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".hdf": "HDF5",
    ".nxs": "HDF5",
    ".hspy": "HDF5",
    ".npy": "NPY",
    ".npz": "NPZ",
    ".mat": "MATLAB",
    ".fits": "FITS",
    ".fit": "FITS",
    ".hdr": "ENVI",
    ".rpl": "RPL",
    ".msa": "EMSA",
    ".emsa": "EMSA",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".png": "PNG",
    ".edf": "EDF",
    ".mca": "MCA",
    ".spe": "SPE",
    ".gz": "gzip",
    ".zspy": "Zarr",
    ".zarr": "Zarr",
    ".datastack": "Zarr",
}
_TEXT = (".txt", ".csv", ".dat")
_RAW = (".raw", ".img", ".bil", ".bip", ".bsq", ".bin")
_HEAD = 4096  # bytes that the keys of a ripple header fit into


def file_format(path: Path) -> str:
    """Format of a file: a name in `READERS`, "PNG" or "text"; "RosettaSciIO" is what only that library reads.

    A folder is "Zarr", or "folder" if it holds parts of one cube (see `open_folder`).

    MATLAB means version 5; files of version 7.3 are HDF5. The numbers of an ENVI or ripple cube lie in a file without
    any signature: it is known by the header beside it.

    Raises:
        UserError: if there is no such file, it is empty, or its content is none of these.
    """
    if path.is_dir():
        if is_zarr_folder(path):
            return "Zarr"
        if any(inner.suffix.lower() in PARTS for inner in path.iterdir()):
            return "folder"
        raise UserError(f"{path}: this is a folder, expected a file")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise UserError(f"{path}: the file is empty")
    if (outside := outside_format(path, head)) is not None:
        return outside
    known = _by_content(head)
    if known == "gzip" and Path(path.stem).suffix.lower() not in _EXTENSIONS:
        raise UserError(f"{path}: of files that gzip packed those of known names are read, such as NAME.fits.gz")
    if known == "NPZ" and _is_zarr_zip(path):
        known = "Zarr"
    if known is None and h5py.is_hdf5(path):  # also finds the signature behind a user block, as MATLAB 7.3 writes it
        known = "RosettaSciIO" if path.suffix.lower() in HDF5_EXTENSIONS and not _is_ncem(path) else "HDF5"
    if known is None and (beside := header_of(path)) is not None:
        known = beside[0]
    return known or _by_extension(path, head)


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((path / name).is_file() for name in ZARR_MARKS)


def _is_zarr_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # damaged: whoever reads it will say so
        return path.suffix.lower() in (".zspy", ".zarr", ".datastack")
    return any(name.rsplit("/", 1)[-1] in ZARR_MARKS for name in names)


def header_of(path: Path) -> tuple[str, Path] | None:
    """Format and file of the header that describes the numbers in `path`: NAME.EXT.hdr, else NAME.hdr or NAME.rpl."""
    names = [path.name + ".hdr", path.stem + ".hdr", path.stem + ".rpl"]
    for header in [path.with_name(n) for name in names for n in (name, name[:-4] + name[-4:].upper())]:
        if header != path and header.is_file():
            with header.open("rb") as file:
                kind = _by_content(file.read(_HEAD))
            if kind in ("ENVI", "RPL"):
                return kind, header
    return None


def is_matlab73(path: Path) -> bool:
    """Whether an HDF5 file was written by MATLAB, which stores every array with its dimensions reversed."""
    with path.open("rb") as file:
        return file.read(10) == b"MATLAB 7.3"


def _is_ncem(path: Path) -> bool:
    """Whether an .emd file is of the open kind (NCEM, Berkeley), which is read here, and not Velox's."""
    if path.suffix.lower() != ".emd":
        return False
    try:
        with read_hdf5(path, locking=False) as file:
            return "version_major" in file.attrs and "Data" not in file
    except (UserError, OSError, RuntimeError, KeyError, ValueError):  # damaged: whoever reads it will say so
        return False


def _by_content(head: bytes) -> str | None:
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if re.match(rb"\s*\{[^{}\0]*\b(EDF_|HeaderID|DataType|Dim_1)", head):
        return "EDF"
    if head.startswith(b"<<PMCA SPECTRUM>>") or re.search(rb"^(#@MCA|#@CHANN|@A\s+\d)", head, re.MULTILINE):
        return "MCA"
    if re.match(rb"\s*\$[A-Z_]+:", head):
        return "SPE"
    if re.match(rb"(\xef\xbb\xbf)?\s*#\s*FORMAT\s*:\s*EMSA", head, re.IGNORECASE):
        return "EMSA"
    keys = set(re.findall(rb"^[ \t]*([a-z-]+)[ \t]", head, re.MULTILINE | re.IGNORECASE)) if b"\0" not in head else ()
    return "RPL" if {b"width", b"height", b"depth"} <= {key.lower() for key in keys} else None


def _by_extension(path: Path, head: bytes) -> str:
    """Format of a file without a known signature."""
    extension = path.suffix.lower()
    start = f"its content starts with {head[:16]!r}"
    if extension in _TEXT and b"\0" not in head:
        return "text"
    if extension in FOREIGN:
        return "RosettaSciIO"
    if extension in _EXTENSIONS:
        raise UserError(f"{path}: not a {_EXTENSIONS[extension]} file although its name says so: {start}")
    if extension in _RAW:
        raise UserError(
            f"{path}: bare numbers need the header that describes them beside them, "
            f"{path.stem}.hdr (ENVI) or {path.stem}.rpl (ripple), and there is none that can be read; {start}"
        )
    raise UserError(f"{path}: unknown format, expected one of {', '.join(cube_formats())}: {start}")
