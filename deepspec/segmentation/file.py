"""The HDF5 file of a segmentation: datasets and attributes with the names of the fields of `Segmentation`."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deepspec.clustering import Merge, Tree
from deepspec.data.axis import SpectralAxis
from deepspec.data.complete_file import complete_or_absent
from deepspec.data.hdf5_file import read_hdf5
from deepspec.data.sealed_file import sealed_hdf5
from deepspec.errors import UserError
from deepspec.functional import SilhouetteEstimate
from deepspec.segmentation.drift import Drift
from deepspec.segmentation.result import BaselineRecord, ClusteringRecord, Leaves, Provenance, Segmentation
from deepspec.segmentation.sample import PixelSample
from deepspec.segmentation.soundness import check_sound
from deepspec.segmentation.structure import Structure

FORMAT = "deepspec-segmentation"
VERSION = 1

_ARRAYS = (
    "labels",
    "centres",
    "sizes",
    "mean_raw",
    "mean_input",
    "mean_reconstructed",
    "decoded_centre",
    "total_raw",
    "total_reconstructed",
    "total_latent",
)
_AXES = ("axis", "decoded_axis")
_RECORDS = {"silhouette": SilhouetteEstimate, "structure": Structure, "provenance": Provenance}
_OPTIONAL_RECORDS = {"baseline": BaselineRecord, "clustering": ClusteringRecord, "drift": Drift}
_PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
_OPTIONAL_ARRAYS = ("latents", "borders", "scattered", "memberships", "disagreement")
_LEAF_ARRAYS = ("labels", "sizes", "centres", "mean_raw", "mean_input", "mean_reconstructed", "decoded_centre")


def write_segmentation(segmentation: Segmentation, path: str | Path) -> None:
    """Write a segmentation under a temporary name and rename it when it is complete.

    Attributes `format`, `version`, `k`, `quantity` and `notes`; arrays and axes as datasets, axes with an attribute
    `unit`; `silhouette`, `structure`, `provenance`, `clustering`, and `drift` and `baseline` where there is one, as
    groups of attributes; the group `scores` with one entry of `k`, `silhouette` and `inertia` per K tried; the group
    `sample` with the arrays of `PixelSample`; where there are any, `borders`, `scattered` and the `border_scatter` that
    follows from it (it is not read again), `memberships`, `disagreement`, and the
    group `leaves` with the arrays of `Leaves`, its tree as `merges`, a row of first node, second node and r for each.
    """
    path = Path(path)
    with complete_or_absent(path) as part, sealed_hdf5(part) as file:
        file.attrs.update(format=FORMAT, version=VERSION, k=segmentation.k, quantity=segmentation.quantity)
        file.attrs["notes"] = np.array(segmentation.notes, dtype=h5py.string_dtype())
        for name in _ARRAYS:
            array = getattr(segmentation, name)
            # Maps shrink to a tenth; the spectra are too small to matter.
            file.create_dataset(name, data=array, compression="gzip" if array.size > 2**16 else None)
        if segmentation.latents is not None:
            file["latents"] = segmentation.latents  # noise, which does not shrink
        for name in (*_AXES, "measured_axis"):
            axis = getattr(segmentation, name)
            if axis is not None:
                file[name] = axis.values
                file[name].attrs["unit"] = axis.unit
        for name in _RECORDS:
            _write_record(file, name, getattr(segmentation, name))
        for name in _OPTIONAL_RECORDS:
            if getattr(segmentation, name) is not None:
                _write_record(file, name, getattr(segmentation, name))
        if segmentation.borders is not None:
            file["borders"] = segmentation.borders
        if segmentation.scattered is not None:
            file["scattered"] = segmentation.scattered
        if segmentation.border_scatter is not None:
            file["border_scatter"] = segmentation.border_scatter
        if segmentation.memberships is not None:
            file.create_dataset("memberships", data=segmentation.memberships, **_PACKED)
        if segmentation.disagreement is not None:
            file.create_dataset("disagreement", data=segmentation.disagreement, **_PACKED)
        if segmentation.leaves is not None:
            _write_leaves(file.create_group("leaves"), segmentation.leaves)
        if segmentation.drift is not None:
            file["drift"].attrs["sentence"] = segmentation.drift.sentence
        file["structure"].attrs["sentence"] = segmentation.structure.sentence
        scores = file.create_group("scores")
        scores["k"] = np.array(list(segmentation.scores), dtype=np.int64)
        scores["silhouette"] = np.array(list(segmentation.scores.values()), dtype=np.float64)
        scores["inertia"] = np.array(list(segmentation.inertias.values()), dtype=np.float64)
        if segmentation.sample is not None:
            sample = file.create_group("sample")
            for name, array in vars(segmentation.sample).items():
                sample.create_dataset(name, data=array, **(_PACKED if array.ndim == 2 else {}))


def read_segmentation(path: str | Path) -> Segmentation:
    """Read a segmentation.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such segmentation; `segment` writes segmentation.h5 into its output folder")
    try:
        with read_hdf5(path) as file:
            _check_format(file, path)
            found = _read(file)
        check_sound(found)
        return found
    except UserError as error:
        raise error if str(error).startswith(str(path)) else UserError(f"{path}: {error}") from error
    except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: expected a segmentation written by deepspec.segment, got a file that is damaged or of another "
            f"kind ({' '.join(str(error).split())})"
        ) from error


def read_provenance(path: Path) -> Provenance:
    """What a segmentation was made from, without reading the rest of its file.

    Raises:
        OSError: it cannot be read.
        KeyError: it is no segmentation.
    """
    with read_hdf5(path) as file:
        found: Provenance = _record(file["provenance"], Provenance)
        return found


def is_segmentation(path: Path) -> bool:
    """Whether a file is a segmentation of any version."""
    try:
        with read_hdf5(path) as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False


def _check_format(file: h5py.File, path: Path) -> None:
    found, version = file.attrs.get("format"), file.attrs.get("version")
    if found != FORMAT:
        kind = f"a file of format '{found}'" if found else "another HDF5 file"
        raise UserError(f"{path}: expected a segmentation written by deepspec.segment, got {kind}")
    if version != VERSION:
        raise UserError(f"{path}: expected version {VERSION} of the segmentation file, got {version}")


def _read(file: h5py.File) -> Segmentation:
    values: dict[str, Any] = {name: file[name][()] for name in _ARRAYS}
    axes = [*_AXES, *(name for name in ("measured_axis",) if name in file)]
    values |= {name: SpectralAxis(file[name][()], file[name].attrs["unit"]) for name in axes}
    records = _RECORDS | {name: kind for name, kind in _OPTIONAL_RECORDS.items() if name in file}
    for name, record in records.items():
        values[name] = _record(file[name], record)
    tried = file["scores/k"][()].tolist()
    sample = file.get("sample")
    return Segmentation(
        k=int(file.attrs["k"]),
        quantity=str(file.attrs["quantity"]),
        notes=tuple(file.attrs["notes"].tolist()),
        scores=dict(zip(tried, file["scores/silhouette"][()].tolist(), strict=True)),
        inertias=dict(zip(tried, file["scores/inertia"][()].tolist(), strict=True)),
        sample=None
        if sample is None
        else PixelSample(**{field.name: sample[field.name][()] for field in fields(PixelSample)}),
        leaves=_read_leaves(file["leaves"]) if "leaves" in file else None,
        **{name: file[name][()] for name in _OPTIONAL_ARRAYS if name in file},
        **values,
    )


def _write_record(file: h5py.File, name: str, record: Any) -> None:
    """A group of attributes; what is None is left out."""
    file.create_group(name).attrs.update({key: value for key, value in asdict(record).items() if value is not None})


def _record(group: h5py.Group, kind: type[Any]) -> Any:
    """A record from the attributes of its group; files of earlier versions lack those that have a default."""
    optional = {field.name for field in fields(kind) if field.default is not MISSING}
    names = [field.name for field in fields(kind) if field.name in group.attrs or field.name not in optional]
    return kind(**{name: _plain(group.attrs[name]) for name in names})


def _write_leaves(group: h5py.Group, leaves: Leaves) -> None:
    group["merges"] = np.array([tuple(merge) for merge in leaves.tree.merges], dtype=np.float64).reshape(-1, 3)
    group["parents"] = np.array(leaves.parents, dtype=np.int64)
    for name in _LEAF_ARRAYS:
        array = getattr(leaves, name)
        group.create_dataset(name, data=array, compression="gzip" if array.size > 2**16 else None)


def _read_leaves(group: h5py.Group) -> Leaves:
    merges = tuple(Merge(int(first), int(second), float(r)) for first, second, r in group["merges"][()])
    return Leaves(
        tree=Tree(len(merges) + 1, merges),
        parents=tuple(group["parents"][()].tolist()),
        **{name: group[name][()] for name in _LEAF_ARRAYS},
    )


def _plain(value: Any) -> Any:
    """A number of NumPy's, as HDF5 gives it, as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value
