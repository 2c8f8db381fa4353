"""What HDF5 files that follow a convention say of an array's dimensions: NeXus, HyperSpy, NCEM, netCDF and labels.

NeXus: a group with NX_class "NXdata" names its array in `signal` and, in `axes`, the datasets of its dimensions, the
last of them where there are fewer; NAME_indices gives the dimension of each. Files from before 2014 mark the array
itself with `signal` = 1 and separate the names by colons. `interpretation` tells spectra from images.
HyperSpy keeps a group `axis-N` for each dimension beside the array, NCEM's EMD a dataset `dimN` from 1 on.
HDF5 itself, and netCDF-4 with it, has labels and scales of dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from deepspec.data.hdf5_file import whole
from deepspec.data.readers.described import Described, Named, candidate, place_image, roles, text_of
from deepspec.data.readers.hyperspy import hyperspy_described
from deepspec.data.readers.stored import AxisCandidate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from deepspec.data.readers.hdf5_links import Links

_DEEPEST = 10  # steps from a file's `default` to its plot; three are usual, and the chain may run in a circle
_PICTURES = ("rgb-image", "rgba-image", "hsla-image", "hsl-image", "cmyk-image")


def nexus_data(links: Links, groups: Mapping[str, h5py.Group]) -> dict[str, Described]:
    """The arrays of all NXdata groups by the path of their group; those that the file's `default` names come first.

    Args:
        links: the file.
        groups: all its groups by path.
    """
    plots: dict[str, h5py.Group] = {}
    default: Any = links.file
    for _ in range(_DEEPEST):
        name = text_of(default.attrs.get("default"))
        default = links.get(default, name) if name else None
        if not isinstance(default, h5py.Group):
            break
        if _is_plot(default):
            plots[default.name.strip("/")] = default
    plots |= {name: group for name, group in groups.items() if _is_plot(group) and name not in plots}
    found = {name: _nexus_group(links, group) for name, group in plots.items()}
    return {name: item for name, item in found.items() if item is not None}


def described_beside(links: Links, array: h5py.Dataset) -> Described:
    """What lies in the group of an array, or in its own attributes, of its dimensions."""
    group = array.parent
    for describe in (_hyperspy, _ncem, _scales):
        found = describe(links, group, array)
        if found is not None and found.spectral_dim is not None:
            return found
    described = Described(array)
    _interpret(described, text_of(array.attrs.get("interpretation")))
    return described


def calibration(
    links: Links, array: h5py.Dataset, spectral_dim: int | None, notes: list[str]
) -> tuple[int, AxisCandidate] | None:
    """The energies by the `calibration` that PyMca and silx keep beside spectra: a + b i + c i^2 in keV.

    It lies in the array's group, or in the group `info` there or a step up, next to the numbers i in `channels`.

    Args:
        links: the file.
        array: the spectra.
        spectral_dim: their spectral dimension, if it is known; else the last one.
        notes: gets a line on what was taken.
    """
    dim = array.ndim - 1 if spectral_dim is None else spectral_dim
    for group, name in ((array.parent, ""), (array.parent, "info/"), (array.parent.parent, "info/")):
        found = links.get(group, f"{name}calibration")
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iuf" or found.size not in (2, 3):
            continue
        a, b, c = [*np.asarray(found[()], dtype=np.float64).ravel().tolist(), 0.0][:3]
        if not np.isfinite([a, b, c]).all() or b <= 0 or (a, b, c) == (0, 1, 0):  # none was made
            continue
        i = np.arange(array.shape[dim], dtype=np.float64)
        numbers = links.get(group, f"{name}channels")
        if isinstance(numbers, h5py.Dataset) and numbers.shape == i.shape and numbers.dtype.kind in "iuf":
            i = np.asarray(whole(numbers), dtype=np.float64)
        notes.append(f"took the energies {a:g} + {b:g} i + {c:g} i^2 keV from '{found.name}'; choose with --axis")
        return dim, AxisCandidate("calibration", a + b * i + c * i**2, "keV", "stated")
    return None


def is_picture(array: h5py.Dataset) -> bool:
    """Whether HDF5's image specification or NeXus says that an array is a colour image."""
    kind = text_of(array.attrs.get("IMAGE_SUBCLASS"))
    if kind in ("IMAGE_TRUECOLOR", "IMAGE_INDEXED") or text_of(array.attrs.get("interpretation")) in _PICTURES:
        return True
    return array.dtype == np.uint8 and len(array.shape) == 3 and array.shape[-1] in (3, 4) and min(array.shape[:2]) > 16


def _is_plot(group: h5py.Group) -> bool:
    return text_of(group.attrs.get("NX_class")) == "NXdata"


def _nexus_group(links: Links, group: h5py.Group) -> Described | None:
    name = text_of(group.attrs.get("signal"))
    inside = {key: item for key, item in links.members(group) if isinstance(item, h5py.Dataset)}
    array = links.get(group, name) if name else None
    if not name:
        marked = [d for d in inside.values() if text_of(d.attrs.get("signal")) == "1"]
        array = marked[0] if marked else inside.get("data")
    if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "iufb" or array.ndim == 0:
        return None
    if is_picture(array):
        return None
    names = _nexus_names(group, array, inside)
    axes = {i: links.get(group, n) for i, n in enumerate(names) if n}
    described = _describe(array, names, {i: a for i, a in axes.items() if isinstance(a, h5py.Dataset)})
    _interpret(described, text_of(array.attrs.get("interpretation", group.attrs.get("interpretation"))))
    return described


def _nexus_names(group: h5py.Group, array: h5py.Dataset, inside: Mapping[str, h5py.Dataset]) -> list[str]:
    """A name for each dimension, empty where the file gives none."""
    dims = array.ndim
    names = [""] * dims
    listed = _names(group.attrs.get("axes", array.attrs.get("axes")))
    # Fewer names than dimensions are those of the last ones, as in a plot of one of many spectra.
    for i, name in enumerate(listed[-dims:], dims - min(len(listed), dims)):
        names[i] = "" if name == "." else name
    placed = {n: v for n in (*listed, *inside) if (v := group.attrs.get(f"{n}_indices")) is not None}
    for name, value in placed.items():
        places = [int(i) for i in np.asarray(value).ravel()]
        names = ["" if old == name else old for old in names]
        if len(places) == 1 and -dims <= places[0] < dims and (not names[places[0]] or name in listed):
            names[places[0]] = name
    if not any(names) and not listed:
        for name, item in inside.items():
            place = text_of(item.attrs.get("axis"))
            if place.isdigit() and 1 <= int(place) <= dims and not names[int(place) - 1]:
                names[int(place) - 1] = name
    return names


def _hyperspy(links: Links, group: h5py.Group, array: h5py.Dataset) -> Described | None:
    axes = []
    for dim, length in enumerate(array.shape):
        found = links.get(group, f"axis-{dim}")
        if not isinstance(found, h5py.Group) or int(found.attrs.get("size", length)) != length:
            return None
        axes.append(_AxisGroup(found))
    return hyperspy_described(array, array.shape, axes)


class _AxisGroup:
    """The attributes and datasets of a group as one mapping."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group

    def get(self, name: str, default: Any = None) -> Any:
        if name in self._group.attrs:
            return self._group.attrs[name]
        item = self._group.get(name)
        if isinstance(item, h5py.Dataset):
            return whole(item)
        return _AxisGroup(item) if isinstance(item, h5py.Group) else default


def _ncem(links: Links, group: h5py.Group, array: h5py.Dataset) -> Described | None:
    if text_of(group.attrs.get("emd_group_type")) != "1":
        return None
    axes: dict[int, h5py.Dataset] = {}
    for dim in range(array.ndim):
        found = links.get(group, f"dim{dim + 1}")
        if isinstance(found, h5py.Dataset):
            axes[dim] = found
    names = [text_of(axes[d].attrs.get("name")) if d in axes else "" for d in range(array.ndim)]
    # The format's own way to write units: [eV], and [n_m] with a line between prefix and unit.
    units = [
        text_of(axes[d].attrs.get("units")).strip("[] ").replace("_", "") if d in axes else ""
        for d in range(array.ndim)
    ]
    return _describe(array, names, axes, second_is_slope=False, units=units)


def _scales(links: Links, group: h5py.Group, array: h5py.Dataset) -> Described | None:
    """Labels and scales of the dimensions, and axes elsewhere in the file on the same scale."""
    labels = [text_of(label) for label in np.asarray(array.attrs.get("DIMENSION_LABELS", [])).ravel()]
    labels = labels if len(labels) == array.ndim else [""] * array.ndim
    axes: dict[int, h5py.Dataset] = {}
    for dim in range(array.ndim):
        scales = list(array.dims[dim].values())
        if scales:
            scale = scales[0]
            axes[dim] = scale
            name = text_of(scale.attrs.get("NAME"))
            usable = name and not name.startswith("This is a netCDF dimension")
            labels[dim] = labels[dim] or (name if usable else str(scale.name).rsplit("/", 1)[-1])
    if not any(labels):
        return None
    real = {dim: a for dim, a in axes.items() if not _is_placeholder(a)}
    return _describe(array, labels, real)


def _is_placeholder(scale: h5py.Dataset) -> bool:
    """Whether a scale stands for a dimension without positions, as netCDF-4 writes it."""
    return text_of(scale.attrs.get("NAME")).startswith("This is a netCDF dimension")


def on_the_same_scale(array: h5py.Dataset, axis: h5py.Dataset) -> int | None:
    """The dimension of an array that shares its dimension scale with a 1-D dataset; None if there is none."""
    if axis.ndim != 1 or not (mine := list(axis.dims[0].values())):
        return None
    return next((dim for dim in range(array.ndim) if any(mine[0] == s for s in array.dims[dim].values())), None)


def _describe(
    array: h5py.Dataset,
    names: Sequence[str],
    axes: Mapping[int, h5py.Dataset],
    *,
    second_is_slope: bool = True,
    units: Sequence[str] | None = None,
) -> Described:
    """What names of dimensions, with the datasets of their positions, say.

    Two numbers for many channels are a straight line: the first position and the step (silx), or the second position
    (EMD).
    """
    if units is None:
        units = [text_of(axes[d].attrs.get("units", _unit(axes[d]))) if d in axes else "" for d in range(array.ndim)]
    found = roles([Named(name, unit) for name, unit in zip(names, units, strict=True)])
    described = Described(array)
    spectral = [dim for dim, role in enumerate(found) if role == "spectral"]
    if len(spectral) == 1:
        dim = spectral[0]
        described.spectral_dim = dim
        if dim in axes and (values := _positions(axes[dim], array.shape[dim], second_is_slope)) is not None:
            described.axes = [candidate(names[dim] or "axis", values, units[dim])]
    place_image(described, found)
    return described


def _unit(axis: h5py.Dataset) -> Any:
    return axis.attrs.get("unit", axis.attrs.get("UNIT", axis.attrs.get("UNITS")))


def _positions(axis: h5py.Dataset, length: int, second_is_slope: bool) -> NDArray[np.float64] | None:
    """Centres of the channels: as given, between given borders, or from the two numbers of a straight line."""
    if axis.dtype.kind not in "iuf" or axis.size != max(axis.shape, default=0):
        return None
    values = np.asarray(whole(axis), dtype=np.float64).ravel()
    if values.size == length + 1:  # borders of the channels
        return np.asarray((values[1:] + values[:-1]) / 2)
    if values.size == 2 and length > 2:
        step = values[1] if second_is_slope else values[1] - values[0]
        return np.asarray(values[0] + step * np.arange(length)) if step else values
    return None if values.size == 1 and length > 1 else values


def _interpret(described: Described, interpretation: str) -> None:
    """What NeXus' `interpretation` says, where the names of the axes left it open."""
    dims = len(described.array.shape)
    if described.spectral_dim is None and dims >= 3:
        if interpretation == "spectrum":
            described.spectral_dim = dims - 1
        elif interpretation == "image" and dims == 3:
            described.spectral_dim = 0
    if described.image is not None and described.spectral_dim in described.image:
        described.image = None


def _names(value: Any) -> list[str]:
    """Names of axes from a list, or from one text as old files have it."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)):
        return [part.strip() for part in text_of(value).strip("[]").replace(",", ":").split(":")]
    return [text_of(part) for part in np.asarray(value).ravel()]
