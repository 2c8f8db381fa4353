"""Segmentation: the labels of a cube, what each of its clusters looks like, and the HDF5 file that keeps it.

The file has datasets and attributes with the names of the fields, but for those in `STORED`.

Shapes: H rows, W columns, C channels of the cube, D of the decoder, K clusters, L latent dimensions, M leaves.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch

from deepspec.axis import SpectralAxis
from deepspec.clustering import Merge, Tree
from deepspec.clustering.refit import silhouette_of
from deepspec.clustering.structure import Structure
from deepspec.data.hdf5_file import read_hdf5, sealed_hdf5, whole
from deepspec.data.image_axes import ImageAxis, image_names, read_image_axes, write_image_axes
from deepspec.errors import UserError
from deepspec.files import complete_or_absent
from deepspec.functional import SilhouetteEstimate
from deepspec.line_maps.result import LineMaps
from deepspec.pages import figure_html, table_html
from deepspec.renamed import has_old_words
from deepspec.segmentation.cutting import Groups, Leaves, cut_leaves, cut_memberships, number_of_clusters
from deepspec.segmentation.drift import Drift
from deepspec.segmentation.provenance import Provenance
from deepspec.segmentation.scatter import scatter_share
from deepspec.segmentation.spectra import PixelSample
from deepspec.segmentation.statistics import ARRAYS as STATISTICS
from deepspec.segmentation.statistics import ClusterStatistics
from deepspec.segmentation.view import draw_label_map, share_name

if TYPE_CHECKING:
    from types import ModuleType

    import pandas
    import xarray
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BaselineRecord:
    """How a baseline, which has no checkpoint, came to what it clustered."""

    method: str
    """pca, nmf, umap, raw or rgb."""
    preprocess: str
    """Steps from the cube's spectra to what it saw, as JSON."""
    sample: int
    """Most spectra that the steps were fitted on, chosen with the seed of the provenance."""


@dataclass(frozen=True)
class ClusteringRecord:
    """How the clusters were found, and the pixels labelled."""

    partition: str
    """nearest, gaussians, counts or consensus: what a pixel is judged by (see `deepspec.clustering`)."""
    evidence: str
    """What decided on K, in words."""
    spatial: float
    """Strength of the prior that neighbours are alike; 0 without."""
    changed: float
    """Share of the pixels that the neighbours changed."""
    unassigned: int
    """Pixels of label -1 that no cluster explains."""
    members: int = 1
    """Networks whose latents stand side by side: more than one of an ensemble."""


MOST_SHOWN = 12
"""Clusters that are listed where a segmentation is printed."""


@has_old_words
@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """A segmented cube. Pixels that are masked, dead or without a latent point have label -1 and enter nothing."""

    labels: NDArray[np.int16]
    """(H, W), 0 to k - 1, or -1. Refit: 0 is the largest cluster. Frozen: the checkpoint's numbers."""
    k: int
    """Number of clusters; frozen ones may be empty here."""
    cluster_centers: NDArray[np.float32]
    """(K, L) latent points: the mean of each cluster's pixels, or where the checkpoint has it."""
    sizes: NDArray[np.int64]
    """(K,) pixels."""
    silhouette: SilhouetteEstimate
    """Of the latent points; NaN if fewer than two clusters have pixels."""
    scores: dict[int, float]
    """Refit: silhouette of every K tried, on the sample of pixels that was clustered, of an ensemble the mean of its
    networks'; frozen: empty."""
    inertias: dict[int, float]
    """Refit: sum of squared distances to the centres for every K tried, on that sample; frozen: empty."""
    axis: SpectralAxis
    """Of `mean_raw`: the cube's, or the checkpoint's if the cube has no calibration."""
    decoded_axis: SpectralAxis
    """Of the other spectra."""
    quantity: str
    """What the other spectra are (`Preprocess.invertible_to`)."""
    mean_raw: NDArray[np.float64]
    """(K, C) mean spectrum of the cube as it is; NaN for an empty cluster."""
    mean_input: NDArray[np.float64]
    """(K, D) mean of the preprocessed spectra, undone as far as that can be: the "true" ones of equation 9."""
    mean_reconstructed: NDArray[np.float64]
    """(K, D) mean of the decoded spectra (equation 8)."""
    decoded_centre: NDArray[np.float64]
    """(K, D) decoded mean latent point (equation 10); of an empty cluster its decoded centre."""
    total_raw: NDArray[np.float32]
    """(H, W) sum over the channels of the cube; NaN where the label is -1, like the next two (figures 5 and 11)."""
    total_reconstructed: NDArray[np.float32]
    """(H, W) sum over the channels of the decoded spectra."""
    total_latent: NDArray[np.float32]
    """(H, W) sum over the latent dimensions."""
    structure: Structure
    """Whether there is more than one material at all."""
    notes: tuple[str, ...]
    """What should be known about it, in sentences."""
    provenance: Provenance
    """What it was made from and with."""
    sample: PixelSample | None = None
    """Spectra of some of its pixels; None in files of earlier versions."""
    latents: NDArray[np.float32] | None = None
    """(H, W, L) latent points, NaN where the label is -1: what `evaluate` clusters again; None likewise."""
    baseline: BaselineRecord | None = None
    """What a baseline did; None for a network."""
    clustering: ClusteringRecord | None = None
    """How the clusters were found; None in files of earlier versions."""
    borders: NDArray[np.float64] | None = None
    """(K, K) valley ratio r of the border of each pair: towards 0 firm, 1 none. None where it was not looked for."""
    memberships: NDArray[np.float32] | None = None
    """(H, W, K) probability of each cluster, adding up to 1; 0 where the label is -1. None where they were not kept."""
    drift: Drift | None = None
    """Frozen: how the scan differs from the training; None for refit, and for files and checkpoints of earlier
    versions."""
    leaves: Leaves | None = None
    """Where the clusters could be merged or divided further; None for clusterers without a merge tree."""
    disagreement: NDArray[np.float32] | None = None
    """(H, W) share of an ensemble's networks that put the pixel into another cluster, 0 to 1, NaN where the label is
    -1; None of a single network, and where its networks have no vote."""
    measured_axis: SpectralAxis | None = None
    """Of the cube as its file has it, where `axis` was put right by the lines of the elements; None: the same."""
    scattered: NDArray[np.bool_] | None = None
    """(C,) the channels of `mean_raw` where the sample scatters the tube's lines (`scattered_channels`); None where no
    tube is known or was found, where no peaks were looked for, and in files of earlier versions."""
    line_maps: LineMaps | None = None
    """Maps of the elements or emission lines of the cube, where they were asked for."""

    statistics: ClusterStatistics | None = None
    """What the spectra of each cluster scatter by; None where the cube was not read for it, and after `cut`."""

    names: tuple[str, ...] | None = None
    """(K,) what clusters were called by hand, empty for those that were not; None if none was."""
    colours: tuple[str, ...] | None = None
    """(K,) their colours chosen by hand, as #rrggbb, likewise."""
    locked: tuple[bool, ...] | None = None
    """(K,) whether later edits must leave a cluster as it is; None if none is locked."""
    edited: tuple[int, ...] | None = None
    """Of the clusters that were found, before any was edited: the number of each now, -1 where it was dropped, -2 where
    it was split. None if nothing was edited."""

    image_axes: tuple[ImageAxis, ImageAxis] | None = None
    """Names and positions of the rows and the columns, where the data came with them; None: they are counted."""

    @property
    def border_scatter(self) -> NDArray[np.float64] | None:
        """(K, K) how much of what tells two clusters apart is scatter of the tube's lines, 0 to 1; see `scatter_share`.

        NaN on the diagonal and for empty clusters; None where `scattered` or `borders` is.
        """
        if self.scattered is None or self.borders is None:
            return None
        return scatter_share(self.mean_raw, self.sizes, self.scattered)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K,) share of the labelled pixels in each cluster."""
        shares: NDArray[np.float64] = self.sizes / self.sizes.sum()
        return shares

    @property
    def cluster_names(self) -> list[str]:
        """(K,) number and share of each cluster, as in "cluster 2: 14.1 %", or "2 lead white: 14.1 %" with a name."""
        names = self.names or [""] * self.k
        return [share_name(number, float(self.shares[number]), name) for number, name in enumerate(names)]

    @property
    def cluster_labels(self) -> list[str]:
        """(K,) number of each cluster, and its name if it has one, as in "2" or "2 lead white"."""
        return [f"{number} {name}".strip() for number, name in enumerate(self.names or [""] * self.k)]

    @property
    def cluster_colours(self) -> list[str]:
        """(K,) colour of each cluster, as #rrggbb: the one that was chosen, else one of `deepspec.drawing`."""
        from deepspec.drawing import cluster_colours  # here: matplotlib takes a second to import

        usual = cluster_colours(self.k)
        return [own or colour for own, colour in zip(self.colours or usual, usual, strict=True)]

    @property
    def headline(self) -> str:
        """Number of clusters, and silhouette of the cube's latents if there is one, in a line."""
        silhouette = self.silhouette
        if self.k == 1 and self.structure.verdict in ("none", "untested"):
            return "K = 1, one material"  # and not a merge tree cut down to one on request
        if np.count_nonzero(self.sizes) == 1:
            return f"K = {self.k}, all pixels in one cluster"
        if math.isnan(silhouette.score):  # of a cut of the merge tree it may not be known
            return f"K = {self.k}"
        error = f" ± {silhouette.standard_error:.3f}" if silhouette.standard_error > 0 else ""
        return f"K = {self.k}, silhouette of the latents {silhouette.score:.3f}{error}"

    @property
    def retraining(self) -> str:
        """How much the networks of an ensemble disagree, in words; empty where that is not known."""
        if self.disagreement is None or self.clustering is None:
            return ""
        known = self.disagreement[self.labels >= 0]
        return (
            f"stability under retraining: {self.clustering.members} networks trained from different initial weights "
            f"agree on the cluster of {100 * float((known == 0).mean()):.1f} % of the pixels; mean disagreement "
            f"{float(known.mean()):.3f}"
        )

    def cut(self, k: int | None = None, *, firm: float | None = None) -> Segmentation:
        """The same segmentation with its merge tree cut elsewhere, coarser or finer; nothing is clustered again.

        Args:
            k: how many clusters.
            firm: or the valley ratio r, 0 to 1, below which a border is one.

        Raises:
            UserError: there is no merge tree, it has too few leaves, or not just one of `k` and `firm` is given.
        """
        leaves = self.leaves
        k = number_of_clusters(None if leaves is None else leaves.tree, k, firm)
        if k == self.k:
            return self
        assert leaves is not None
        cut = cut_leaves(leaves, k)
        memberships = self.memberships
        if memberships is not None:
            memberships = cut_memberships(memberships, leaves, cut)
        silhouette = SilhouetteEstimate(np.nan, np.nan, 0)
        if self.latents is not None:  # files of earlier versions have none
            z_PL = torch.from_numpy(self.latents.reshape(-1, self.latents.shape[-1]))
            labels_P = torch.from_numpy(cut.labels.reshape(-1).astype(np.int64))
            silhouette = silhouette_of(z_PL, labels_P, torch.Generator().manual_seed(self.provenance.seed))
        note = (
            f"merge tree cut into {k} {'cluster' if k == 1 else 'clusters'} instead of the {self.k} found; the "
            "evidence for more than one material is still that of the clusters that were found"
        )
        return replace(
            self,
            k=k,
            silhouette=silhouette,
            memberships=memberships,
            disagreement=None,  # what each network of an ensemble says of these clusters is not known
            notes=(*self.notes, note),
            statistics=None,
            names=None,
            colours=None,
            locked=None,
            edited=None,
            **vars(cut),
        )

    @property
    def spectra(self) -> pandas.DataFrame:
        """Spectra of the clusters as a table of pandas, which is an optional dependency.

        The index is the axis, named with its unit, as in "energy (keV)". A column is a kind and a cluster:
        `segmentation.spectra["measured"]` is a table of the mean spectra of the cube (`mean_raw`) with a column for
        each cluster; the other kinds are `input`, `decoded` and `decoded mean latent` (`mean_input`,
        `mean_reconstructed` and `decoded_centre`). Where the decoder has another axis than the cube, the index has the
        places of both, and a column is NaN at those of the other one. The spectra of an empty cluster are NaN.

        Raises:
            UserError: pandas is not installed.
        """
        pd = _optional("pandas", "Segmentation.spectra")
        kinds = {
            "measured": (self.axis, self.mean_raw),
            "input": (self.decoded_axis, self.mean_input),
            "decoded": (self.decoded_axis, self.mean_reconstructed),
            "decoded mean latent": (self.decoded_axis, self.decoded_centre),
        }
        tables = {
            kind: pd.DataFrame(spectra.T, index=pd.Index(axis.values, name=axis.label))
            for kind, (axis, spectra) in kinds.items()
        }
        whole = pd.concat(tables, axis=1, names=["kind", "cluster"], sort=False)
        found: pandas.DataFrame = whole.sort_index(ascending=bool(self.axis.values[0] <= self.axis.values[-1]))
        return found

    def to_xarray(self) -> xarray.Dataset:
        """Maps and spectra as a dataset of xarray, which is an optional dependency.

        Variables have the names of the fields. Dimensions are `y` and `x` (rows and columns), or those of `image_axes`
        with their coordinates, `cluster`, `latent`, `channel` with the axis as its coordinate, and `decoded_channel`
        for the spectra of the decoder where its axis is another one, else these have `channel` too. Attributes say what
        it was made from. Clusters that were named by hand have the coordinate `name`.

        Raises:
            UserError: xarray is not installed.
        """
        xr = _optional("xarray", "Segmentation.to_xarray")
        same = self.axis.to_dict() == self.decoded_axis.to_dict()
        decoded = "channel" if same else "decoded_channel"
        own = ("cluster", "other", "latent", "channel", "decoded_channel")
        y, x = ("y", "x") if self.image_axes is None else image_names(self.image_axes, taken=own)
        dimensions = {
            "labels": (y, x),
            **{f"total_{kind}": (y, x) for kind in ("raw", "reconstructed", "latent")},
            "disagreement": (y, x),
            "memberships": (y, x, "cluster"),
            "latents": (y, x, "latent"),
            "sizes": ("cluster",),
            "cluster_centers": ("cluster", "latent"),
            "borders": ("cluster", "other"),
            "mean_raw": ("cluster", "channel"),
            "scattered": ("channel",),
            **dict.fromkeys(("mean_input", "mean_reconstructed", "decoded_centre"), ("cluster", decoded)),
        }
        axes = {"channel": self.axis} | ({} if same else {decoded: self.decoded_axis})
        places = {
            name: (name, axis.values, {"long_name": axis.label, "units": axis.unit}) for name, axis in axes.items()
        }
        numbers: dict[str, Any] = {
            name: np.arange(count) for name, count in zip((y, x), self.labels.shape, strict=True)
        }
        if self.image_axes is not None:
            given = zip((y, x), self.image_axes, strict=True)
            numbers = {name: (name, of.values, {"units": of.unit} if of.unit else {}) for name, of in given}
        named = {} if self.names is None else {"name": ("cluster", list(self.names))}
        made = {key: value for key, value in asdict(self.provenance).items() if key != "clusters"}
        found: xarray.Dataset = xr.Dataset(
            {name: (dims, getattr(self, name)) for name, dims in dimensions.items() if getattr(self, name) is not None},
            coords={**numbers, "cluster": np.arange(self.k), **named, **places},
            attrs={
                "k": self.k,
                "quantity": self.quantity,
                "silhouette": self.silhouette.score,
                "clusters": self.provenance.clusters,
                "structure": self.structure.sentence,
                "notes": "\n".join(self.notes),
                **made,
            },
        )
        return found

    def plot(self) -> Figure:
        """The map: each cluster in its colour, with a legend of the clusters and their shares of the pixels.

        Returns:
            A figure of matplotlib, apart from those of pyplot: `savefig` writes it, and a notebook that has imported
            pyplot shows it.
        """
        return draw_label_map(self.labels, self.cluster_names, self.headline, self.cluster_colours)

    def __repr__(self) -> str:
        rows, columns = self.labels.shape
        shown = list(zip(self.cluster_names, self.sizes.tolist(), strict=True))[:MOST_SHOWN]
        more = [f"and {self.k - MOST_SHOWN} more"] if self.k > MOST_SHOWN else []
        without = int(np.count_nonzero(self.labels < 0))
        return "\n".join(
            [
                f"Segmentation of {rows} x {columns} pixels, {self.axis}",
                self.headline,
                *(f"  {text}" for text in [*(f"{name}, {size} pixels" for name, size in shown), *more]),
                *([f"  no cluster: {without} pixels"] if without else []),
                *(f"{name}: {text}" for name, text in self._made().items()),
            ]
        )

    def _repr_html_(self) -> str:
        rows, columns = self.labels.shape
        facts = {"pixels": f"{rows} x {columns}", "axis": str(self.axis), **self._made()}
        return figure_html(self.plot(), "Label map") + table_html(("", ""), list(facts.items()))

    def _made(self) -> dict[str, str]:
        """How it was made, in a few words each."""
        made: dict[str, str] = {"clusters": self.provenance.clusters}
        if self.clustering is not None:
            made["clusters"] += f", partition {self.clustering.partition}, K decided by: {self.clustering.evidence}"
        made["cube"] = self.provenance.cube or "in memory"
        if self.baseline is not None:
            made["baseline"] = self.baseline.method
        else:
            made["model"] = self.provenance.checkpoint or "in memory"
        return made | {"made": f"{self.provenance.created} by deepspec {self.provenance.deepspec}"}

    def save(self, path: str | Path) -> None:
        """Write an HDF5 file, which appears under its name when complete; an existing one is replaced."""
        write_segmentation(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Segmentation:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged, or something else.
        """
        return read_segmentation(path)


def _optional(package: str, what: str) -> ModuleType:
    """An optional dependency.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(f"{what} needs {package}, which is not installed: pip install 'deepspec[tables]'") from error


FORMAT = "deepspec-segmentation"
VERSION = 1

_ARRAYS = (
    "labels",
    "cluster_centers",
    "sizes",
    "mean_raw",
    "mean_input",
    "mean_reconstructed",
    "decoded_centre",
    "total_raw",
    "total_reconstructed",
    "total_latent",
)
STORED = {"cluster_centers": "centres"}
"""Fields that the file has under the name that they had when its format was made."""
_AXES = ("axis", "decoded_axis")
_RECORDS = {"silhouette": SilhouetteEstimate, "structure": Structure, "provenance": Provenance}
_OPTIONAL_RECORDS = {"baseline": BaselineRecord, "clustering": ClusteringRecord, "drift": Drift}
_PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
_OPTIONAL_ARRAYS = ("latents", "borders", "scattered", "memberships", "disagreement")
_LEAF_ARRAYS = tuple(field.name for field in fields(Groups))


def write_segmentation(segmentation: Segmentation, path: str | Path) -> None:
    """Write a segmentation under a temporary name and rename it when it is complete.

    Attributes `format`, `version`, `k`, `quantity` and `notes`; arrays and axes as datasets, axes with an attribute
    `unit`; `silhouette`, `structure`, `provenance`, `clustering`, and `drift` and `baseline` where there is one, as
    groups of attributes; the group `scores` with one entry of `k`, `silhouette` and `inertia` per K tried; the group
    `sample` with the arrays of `PixelSample`; where there are any, `borders`, `scattered` and the `border_scatter` that
    follows from it (it is not read again), `memberships`, `disagreement`, the group `line_maps` as `LineMaps.save` has
    it, the group `statistics` with the arrays of `ClusterStatistics`,
    the datasets `names`, `colours`, `locked` and `edited`, and the group `leaves` with the arrays of `Leaves`, its
    tree as `merges`, a row of first node, second node and r for each, and the group `image_axes` (see
    `write_image_axes`).
    """
    path = Path(path)
    with complete_or_absent(path) as part, sealed_hdf5(part) as file:
        file.attrs.update(format=FORMAT, version=VERSION, k=segmentation.k, quantity=segmentation.quantity)
        file.attrs["notes"] = np.array(segmentation.notes, dtype=h5py.string_dtype())
        for name in _ARRAYS:
            array = getattr(segmentation, name)
            # Maps shrink to a tenth; the spectra are too small to matter.
            file.create_dataset(STORED.get(name, name), data=array, compression="gzip" if array.size > 2**16 else None)
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
        if segmentation.line_maps is not None:
            segmentation.line_maps.write(file.create_group("line_maps"))
        for name in ("names", "colours"):
            if (texts := getattr(segmentation, name)) is not None:
                file[name] = np.array(texts, dtype=h5py.string_dtype())
        for name in ("locked", "edited"):
            if (values := getattr(segmentation, name)) is not None:
                file[name] = np.array(values)
        if segmentation.statistics is not None:
            statistics = file.create_group("statistics")
            statistics.attrs["unit"] = segmentation.statistics.unit
            for name in STATISTICS:
                statistics[name] = getattr(segmentation.statistics, name)
        if segmentation.leaves is not None:
            _write_leaves(file.create_group("leaves"), segmentation.leaves)
        if segmentation.drift is not None:
            file["drift"].attrs["sentence"] = segmentation.drift.sentence
        file["structure"].attrs["sentence"] = segmentation.structure.sentence
        scores = file.create_group("scores")
        scores["k"] = np.array(list(segmentation.scores), dtype=np.int64)
        scores["silhouette"] = np.array(list(segmentation.scores.values()), dtype=np.float64)
        scores["inertia"] = np.array(list(segmentation.inertias.values()), dtype=np.float64)
        if segmentation.image_axes is not None:
            write_image_axes(file, segmentation.image_axes)
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


def check_sound(segmentation: Segmentation) -> None:
    """Compare the shapes of all parts, and the labels with the number of clusters and with their sizes.

    Raises:
        UserError: naming what contradicts what.
    """
    found, k = segmentation, segmentation.k
    labels = found.labels
    if labels.ndim != 2 or labels.dtype.kind != "i" or labels.size == 0:
        _refuse(f"labels are {labels.dtype} {labels.shape}, expected integers (rows, columns)")
    if labels.min() < -1 or labels.max() >= k:
        _refuse(f"labels are {labels.min()} to {labels.max()}, expected -1 to {k - 1}")
    counted = np.bincount(labels[labels >= 0].ravel(), minlength=k)
    if found.sizes.shape != (k,) or (counted != found.sizes).any():
        _refuse(f"clusters have {counted.tolist()} pixels, the file says {found.sizes.tolist()}")
    latent = found.cluster_centers.shape[-1]
    shapes: dict[str, tuple[int, ...]] = {
        "cluster_centers": (k, latent),
        "mean_raw": (k, found.axis.channels),
        **{f"total_{kind}": labels.shape for kind in ("raw", "reconstructed", "latent")},
        **dict.fromkeys(("mean_input", "mean_reconstructed", "decoded_centre"), (k, found.decoded_axis.channels)),
    }
    for name, shape in shapes.items():
        if getattr(found, name).shape != shape:
            _refuse(f"{name} has shape {getattr(found, name).shape}, expected {shape}")
    if found.latents is not None and found.latents.shape != (*labels.shape, latent):
        _refuse(f"latents have shape {found.latents.shape}, expected {(*labels.shape, latent)}")
    for name in ("names", "colours", "locked"):
        if (own := getattr(found, name)) is not None and len(own) != k:
            _refuse(f"there are {len(own)} {name} for {k} clusters")
    if found.statistics is not None and found.statistics.median.shape != (k, found.axis.channels):
        _refuse(f"statistics have shape {found.statistics.median.shape}, expected {(k, found.axis.channels)}")
    if found.line_maps is not None and found.line_maps.shape != labels.shape:
        _refuse(f"line maps have shape {found.line_maps.shape}, expected {labels.shape}")
    if found.scattered is not None and (
        found.scattered.shape != (found.axis.channels,) or found.scattered.dtype != np.bool_
    ):
        _refuse(f"scattered is {found.scattered.dtype} {found.scattered.shape}, expected bool ({found.axis.channels},)")
    if found.image_axes is not None and tuple(len(of.values) for of in found.image_axes) != labels.shape:
        _refuse(f"image_axes have {[len(of.values) for of in found.image_axes]} positions, expected {labels.shape}")
    if found.sample is not None:
        rows = {field.name: len(getattr(found.sample, field.name)) for field in fields(found.sample)}
        if len(set(rows.values())) > 1:
            _refuse(f"the parts of its sample have {rows} rows")


def _refuse(what: str) -> None:
    raise UserError(f"damaged segmentation: {what}")


def _check_format(file: h5py.File, path: Path) -> None:
    found, version = file.attrs.get("format"), file.attrs.get("version")
    if found != FORMAT:
        kind = f"a file of format '{found}'" if found else "another HDF5 file"
        raise UserError(f"{path}: expected a segmentation written by deepspec.segment, got {kind}")
    if version != VERSION:
        raise UserError(f"{path}: expected version {VERSION} of the segmentation file, got {version}")


def _read(file: h5py.File) -> Segmentation:
    values: dict[str, Any] = {name: whole(file[STORED.get(name, name)]) for name in _ARRAYS}
    axes = [*_AXES, *(name for name in ("measured_axis",) if name in file)]
    values |= {name: SpectralAxis(whole(file[name]), file[name].attrs["unit"]) for name in axes}
    values |= {name: whole(file[name]) for name in _OPTIONAL_ARRAYS if name in file}
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
        else PixelSample(**{field.name: whole(sample[field.name]) for field in fields(PixelSample)}),
        leaves=_read_leaves(file["leaves"]) if "leaves" in file else None,
        image_axes=read_image_axes(file),
        names=tuple(file["names"].asstr()[()].tolist()) if "names" in file else None,
        colours=tuple(file["colours"].asstr()[()].tolist()) if "colours" in file else None,
        locked=tuple(file["locked"][()].tolist()) if "locked" in file else None,
        edited=tuple(file["edited"][()].tolist()) if "edited" in file else None,
        statistics=_read_statistics(file["statistics"]) if "statistics" in file else None,
        line_maps=LineMaps.read(file["line_maps"]) if "line_maps" in file else None,
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
        group.create_dataset(STORED.get(name, name), data=array, compression="gzip" if array.size > 2**16 else None)


def _read_leaves(group: h5py.Group) -> Leaves:
    merges = tuple(Merge(int(first), int(second), float(r)) for first, second, r in group["merges"][()])
    return Leaves(
        tree=Tree(len(merges) + 1, merges),
        parents=tuple(group["parents"][()].tolist()),
        **{name: whole(group[STORED.get(name, name)]) for name in _LEAF_ARRAYS},
    )


def _read_statistics(group: h5py.Group) -> ClusterStatistics:
    return ClusterStatistics(**{name: whole(group[name]) for name in STATISTICS}, unit=str(group.attrs["unit"]))


def _plain(value: Any) -> Any:
    """A number of NumPy's, as HDF5 gives it, as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value
