"""HDF5: deepspec's own files, NeXus, HyperSpy, NCEM, netCDF-4, APS MAPS, PyXRF, or a dataset at any path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import h5py
import hdf5plugin  # noqa: F401  (registers the compression filters that other programs use)
import numpy as np

from deepspec.axis import find_unit
from deepspec.data.cube_file import MARK, TRAINING, VERSION
from deepspec.data.hdf5_file import check_stored, whole
from deepspec.data.readers.described import Described, is_spectral_name, text_of
from deepspec.data.readers.hdf5_attributes import attribute_axes, prisma
from deepspec.data.readers.hdf5_axes import (
    calibration,
    described_beside,
    is_picture,
    nexus_data,
    on_the_same_scale,
)
from deepspec.data.readers.hdf5_links import Links
from deepspec.data.readers.signature import is_matlab73
from deepspec.data.readers.stored import (
    AxisCandidate,
    Stored,
    axis_unit,
    check_dims,
    choose_key,
    has_dims,
    is_list,
    is_sum,
    pixel_grid,
    reading,
)
from deepspec.data.readers.values import physical_dataset
from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from deepspec.data.readers.stored import StoredArray

# What XRF-Maps, PyXRF and Larch write.
_SUMS = ("MAPS/Spectra/mca_arr", "MAPS/mca_arr", "xrfmap/detsum/counts", "xrmmap/mcasum/counts")
_BEAM = re.compile(r"mono|beam|source|undulator|incident|insertion_device", re.IGNORECASE)
_BEAM_CLASSES = ("NXmonochromator", "NXbeam", "NXsource", "NXinsertion_device")
_DETECTOR = re.compile(r"det|mca|xmap|sdd|element|sensor|fluo|channel", re.IGNORECASE)
_GOOD = ("good_wavelengths", "good_bands", "good_band", "bbl")  # 1 for a channel that may be used
_ERRORS = ("errors", "uncertainties", "{}_errors", "{}_error", "{}_uncertainty", "{}_std")


def open_hdf5(path: Path, dataset: str | None, dims: Sequence[int]) -> Stored:
    """Open a cube in an HDF5 file.

    Args:
        path: the file.
        dataset: path of a dataset, of a NeXus NXdata group, or of a group whose largest 3-D datasets of one shape
            are the detectors; default the sum over detectors where XRF-Maps or PyXRF wrote one, else `MAPS_RAW` if
            present, else what NeXus names, else the dataset with a usual name or the largest.
        dims: numbers of dimensions that the dataset may have.

    Raises:
        UserError: if the file is damaged or holds no such dataset, or parts of it lie in files that are missing.
    """
    with reading(path, "HDF5"):
        links = Links(path)
    try:
        with reading(path, "HDF5"):
            return _open(path, links, dataset, dims)
    except BaseException:
        links.close()
        raise


def _open(path: Path, links: Links, dataset: str | None, dims: Sequence[int]) -> Stored:
    file = links.file
    _refuse_results(path, file)
    if MARK in file.attrs and dataset in (None, "img", "/img"):
        return _open_own(path, links, dims)
    everything, groups = links.walk()
    found = {n: d for n, d in everything.items() if d.dtype.kind in "iufb" and d.ndim > 0 and d.shape is not None}
    plots = nexus_data(links, groups)
    notes: list[str] = []
    reversed_dims = is_matlab73(path)
    grid = None
    if reversed_dims and 2 not in dims:
        shapes = {name: item.shape for name, item in found.items()}
        grid = pixel_grid(shapes, dataset, lambda name: float(np.ravel(whole(found[name]))[0]))
    if grid is None:
        arrays, place = _arrays(path, links, dataset, dims, found, plots, notes)
    else:
        place = grid[0]
        arrays = [found[place]]
    described = _described(links, arrays[0], plots)
    channel_first = place.startswith("MAPS_RAW") or re.match(r"MAPS/(Spectra/)?mca_arr", place) is not None
    if described.spectral_dim is None and (channel_first or (reversed_dims and arrays[0].ndim == 3)):
        described.spectral_dim = 0
    for stored in arrays:
        check_stored(stored)
    values = [physical_dataset(array, links.values(array), links, notes) for array in arrays]
    space = prisma(file, arrays[0]) if len(arrays) == 1 else None
    if space is not None:
        described.spectral_dim, described.image, described.axes = 1, (0, 2), [space.axis]
        values = [space.physical(values[0], notes)]
    axes = described.axes + _axes(found, arrays[0], place, described)
    if not axes and (calibrated := calibration(links, arrays[0], described.spectral_dim, notes)) is not None:
        described.spectral_dim, energies = calibrated
        axes.append(energies)
    if not axes:
        for candidate, dim in attribute_axes(arrays[0]):
            axes.append(candidate)
            if dim is not None and described.spectral_dim is None:
                described.spectral_dim = dim
    return Stored(
        arrays=values,
        name=f"{path}:{place}",
        spectral_dim=described.spectral_dim,
        rows_last=reversed_dims,
        image=described.image,
        spatial_shape=None if grid is None else grid[1],
        order="F",
        detector_dim=described.detector_dim,
        axes=axes,
        bad_channels=_bad_channels(found, arrays[0], described) if space is None else space.bad_channels,
        errors=_errors(links, arrays),
        metadata={**_attributes(file), **_attributes(arrays[0])},
        notes=notes,
        close=links.close,
    )


def _refuse_results(path: Path, file: h5py.File) -> None:
    """Say what deepspec's own files that are no cubes are for."""
    kind = text_of(file.attrs.get("format"))
    if kind == "deepspec-segmentation":
        raise UserError(
            f"{path}: this is a segmentation, not a cube: `deepspec evaluate` takes it, and its pictures and label map "
            "lie beside it; to segment, give the cube that it was made from"
        )
    if kind == "deepspec-shard":
        raise UserError(f"{path}: this is a shard of training data, not a cube: `deepspec fit` takes its folder")


def _open_own(path: Path, links: Links, dims: Sequence[int]) -> Stored:
    """Open what deepspec wrote itself, in which nothing has to be guessed."""
    file = links.file
    if file.attrs[MARK] != VERSION:
        raise UserError(f"{path}: cube of version {file.attrs[MARK]}, this deepspec reads version {VERSION}")
    image, axis = file["img"], file["axis"]
    check_dims(path, "img", image.shape, dims)
    mask = file.get("mask")
    training = mask is not None and mask.attrs.get("use") == TRAINING
    valid = None if mask is None else whole(mask)
    if valid is not None and valid.shape != image.shape[:2]:
        raise UserError(f"{path}: damaged: its mask has shape {valid.shape}, its cube {image.shape}")
    return Stored(
        arrays=[links.values(image)],
        name=f"{path}:img",
        spectral_dim=2,
        axes=[AxisCandidate("axis", np.asarray(whole(axis), dtype=np.float64), str(axis.attrs["unit"]), "stated")],
        mask=None if training else valid,
        training=valid if training else None,
        whole=True,
        metadata={key: value for key, value in _attributes(file).items() if key != MARK},
        close=links.close,
    )


def _arrays(
    path: Path,
    links: Links,
    dataset: str | None,
    dims: Sequence[int],
    found: Mapping[str, h5py.Dataset],
    plots: Mapping[str, Described],
    notes: list[str],
) -> tuple[list[h5py.Dataset], str]:
    """The dataset of the cube, or those of its detectors, and their place in the file."""
    if dataset is not None:
        return _named(path, links, dataset.strip("/"), dims, found, plots, notes)
    for place in _SUMS:
        if (array := found.get(place)) is not None and has_dims(array.shape, dims):
            return [array], place
    if any(name.startswith("MAPS_RAW/") for name in found):
        return _detectors(path, "MAPS_RAW", found, dims, notes), "MAPS_RAW"
    fitting = {name: plot for name, plot in plots.items() if has_dims(plot.array.shape, dims)}
    if fitting:
        first = next(iter(plots))
        chosen = first if first in fitting else max(fitting, key=lambda n: (int(fitting[n].array.size), is_sum(n)))
        if len(fitting) > 1:
            others = ", ".join(name for name in fitting if name != chosen)
            notes.append(
                f"took '{chosen}' {fitting[chosen].array.shape} (others: {others}); choose with --dataset NAME"
            )
        array = fitting[chosen].array
        return [array], array.name.strip("/")
    shapes = {name: item.shape for name, item in found.items()}
    if not shapes and links.broken:
        name, reason = next(iter(links.broken.items()))
        raise UserError(f"{path}: nothing can be read, the link '{name}' leads nowhere: {reason}")
    place, guessed = choose_key(path, shapes, None, dims, {n for n, d in found.items() if is_picture(d)})
    alike = _numbered(found, place)
    if len(alike) > 1:
        notes.append(
            f"took {', '.join(alike)} as {len(alike)} detectors; choose with --dataset NAME or --detector NUMBER"
        )
        return [found[name] for name in alike], place
    notes += guessed
    return [found[place]], place


def _named(
    path: Path,
    links: Links,
    place: str,
    dims: Sequence[int],
    found: Mapping[str, h5py.Dataset],
    plots: Mapping[str, Described],
    notes: list[str],
) -> tuple[list[h5py.Dataset], str]:
    """What the user named: a dataset, a plot of NeXus, or a group of detectors."""
    item = links.get(links.file, place)
    if isinstance(item, h5py.Group):
        inner = item.name.strip("/")
        plot = plots.get(place) or next((p for n, p in plots.items() if links.file.get(n) == item), None)
        if plot is not None:
            check_dims(path, plot.array.name, plot.array.shape, dims)
            return [plot.array], plot.array.name.strip("/")
        own = found if place == inner else {f"{place}/{n}": d for n, d in links.members(item)}
        return _detectors(path, place, own, dims, notes), place
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iufb" or item.ndim == 0:
        choose_key(path, {name: d.shape for name, d in found.items()}, place + "?" * (place in found), dims)
        raise UserError(f"{path}: '{place}' holds no numbers")
    check_dims(path, place, item.shape, dims)
    return [item], place


def _described(links: Links, array: h5py.Dataset, plots: Mapping[str, Described]) -> Described:
    """What is said of an array's dimensions: by the plot of NeXus that shows it, else beside it."""
    for plot in plots.values():
        if plot.array == array and plot.spectral_dim is not None:
            return plot
    return described_beside(links, array)


def _detectors(
    path: Path, group: str, found: Mapping[str, Any], dims: Sequence[int], notes: list[str]
) -> list[h5py.Dataset]:
    inside = {name: d for name, d in found.items() if name.rpartition("/")[0] == group}
    children = [d for d in inside.values() if isinstance(d, h5py.Dataset) and d.ndim == 3 and d.dtype.kind in "iufb"]
    if not children:
        raise UserError(f"{path}: the group '{group}' has no 3-D dataset")
    largest = max(children, key=lambda d: int(d.size))
    check_dims(path, largest.name, largest.shape, dims)
    alike = [d for d in children if d.shape == largest.shape]
    notes.append(f"took the datasets {', '.join(d.name for d in alike)} as {len(alike)} detectors")
    return alike


def _numbered(found: Mapping[str, h5py.Dataset], chosen: str) -> list[str]:
    """Datasets whose paths differ from that of `chosen` in one number alone, of a detector by its name."""
    shape = found[chosen].shape
    for number in re.finditer(r"\d+", chosen):
        before, after = chosen[: number.start()], chosen[number.end() :]
        if not _DETECTOR.search(before.rsplit("/", 1)[-1]):
            continue
        pattern = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        alike = [name for name, d in found.items() if pattern.fullmatch(name) and d.shape == shape]
        if len(alike) > 1:
            return sorted(alike, key=lambda name: int(re.findall(r"\d+", name[len(before) :])[0]))
    return [chosen]


def _axes(
    found: Mapping[str, h5py.Dataset], array: h5py.Dataset, place: str, described: Described
) -> list[AxisCandidate]:
    """Axes by their usual names: beside the array, or elsewhere; those of the beam are none."""
    candidates = []
    for name, item in found.items():
        leaf = name.rsplit("/", 1)[-1].lower()
        named = axis_unit(leaf)
        usual = named is not None
        # PACE's blue_wavelength and red_wavelength: told apart by the dimension that they share with the cube.
        if not (usual or is_spectral_name(leaf.rpartition("_")[2])) or not is_list(item.shape, array.shape):
            continue
        if _is_of_the_beam(name, item):
            continue
        attributes = _attributes(item)
        unit = next(
            (str(attributes[k]) for k in ("units", "unit", "Units", "Unit") if attributes.get(k)), named or None
        )
        values = np.asarray(whole(item), dtype=np.float64).ravel()
        shared = on_the_same_scale(array, item)
        if not usual and (shared is None or np.unique(values).size < values.size):
            continue
        if shared is not None and described.spectral_dim in (None, shared):
            described.spectral_dim = shared
            candidates.append(AxisCandidate(name, values, unit, "stated"))
            continue
        group = name.rpartition("/")[0]
        strange = unit is not None and leaf == "axis" and find_unit(unit) is None  # of a motor
        if strange or np.unique(values).size < values.size:
            continue
        near = group == place.rpartition("/")[0] or group == place
        candidates.append(AxisCandidate(name, values, unit, "near" if near else "far"))
    return sorted(candidates, key=lambda c: ("stated", "near", "far").index(c.origin))


def _bad_channels(
    found: Mapping[str, h5py.Dataset], array: h5py.Dataset, described: Described
) -> NDArray[np.bool_] | None:
    """(C,) True where a list on the same scale as the channels says that they are not good (EMIT)."""
    for name, item in found.items():
        if name.rsplit("/", 1)[-1].lower() not in _GOOD or item.ndim != 1 or described.spectral_dim is None:
            continue
        if on_the_same_scale(array, item) == described.spectral_dim:
            good = whole(item)
            return None if good.all() else np.asarray(good == 0)
    return None


def _is_of_the_beam(name: str, item: h5py.Dataset) -> bool:
    group = name.rpartition("/")[0]
    return _BEAM.search(group) is not None or text_of(item.parent.attrs.get("NX_class")) in _BEAM_CLASSES


def _errors(links: Links, arrays: Sequence[h5py.Dataset]) -> StoredArray | None:
    """Standard deviations beside the array, as NeXus names them."""
    leaf = arrays[0].name.rsplit("/", 1)[-1]
    said = text_of(arrays[0].attrs.get("uncertainties"))  # NeXus: the name of the dataset that has them
    names = [*([said] if said else []), *(pattern.format(leaf) for pattern in _ERRORS)]
    for name in names if len(arrays) == 1 else ():
        item = links.get(arrays[0].parent, name)
        if isinstance(item, h5py.Dataset) and item.shape == arrays[0].shape:
            return physical_dataset(item, links.values(item), links, [])
    return None


def _attributes(item: h5py.HLObject) -> dict[str, str | int | float]:
    """Attributes that are one text or number; others (references, tables) are left out."""
    plain: dict[str, str | int | float] = {}
    for key, raw in item.attrs.items():
        value: Any = raw.item() if isinstance(raw, (np.ndarray, np.generic)) and raw.size == 1 else raw
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, (str, int, float)):
            plain[key] = value
    return plain
