"""Edit the clusters of a segmentation: name, colour, merge, drop, split, lock.

Shapes: H rows, W columns, C channels, D of the decoder, K clusters before, G after, L latent dimensions, P pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from deepspec.clustering.refit import silhouette_of
from deepspec.errors import UserError, did_you_mean
from deepspec.functional import SilhouetteEstimate, kmeans
from deepspec.segmentation.statistics import cluster_statistics, regrouped

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.result import Segmentation

    Progress = Callable[[str, int, int], None]

MOST_PARTS = 20
"""Parts of a cluster that is split, at most."""

LONGEST_NAME = 40
"""Characters of a name, so that it fits beside a map."""

SPLIT = -2
"""In `Segmentation.edited`: the cluster was divided, so that no cluster is all of it."""

_RESTARTS = 5


@dataclass(frozen=True)
class Edits:
    """What is to be changed; the numbers are those of the clusters before any of it.

    As YAML:

        name: {0: lead white, 2: iron earth}
        colour: {0: "#f0e0c0"}
        merge: [[0, 3], [1, 4]]
        drop: [5]
        split: {2: 3}
        lock: [0]
        unlock: [1]
    """

    name: Mapping[int, str] = field(default_factory=dict)
    """Of a cluster; an empty one takes a name away. A merged cluster has that of the first in its list that has one."""
    colour: Mapping[int, str] = field(default_factory=dict)
    """As #rrggbb; an empty one takes it away."""
    merge: Sequence[Sequence[int]] = ()
    """Clusters that become one."""
    drop: Sequence[int] = ()
    """Clusters whose pixels get the label -1, and enter nothing."""
    split: Mapping[int, int] = field(default_factory=dict)
    """Clusters to divide, and the number of parts: K-means of the latent points of their pixels."""
    lock: Sequence[int] = ()
    """Clusters that later edits must not merge, drop or split."""
    unlock: Sequence[int] = ()
    """Clusters that they may again; these edits may too."""

    @property
    def changes_pixels(self) -> bool:
        """Whether labels change, and not only how clusters are called."""
        return bool(self.merge or self.drop or self.split)


def read_edits(path: str | Path) -> Edits:
    """Read edits from a YAML file.

    Raises:
        UserError: there is no such file, it is no YAML, or not of the form that `Edits` shows.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file of edits") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    try:
        return parse_edits(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_edits(content: object) -> Edits:
    """Edits of plain types, as YAML gives them.

    Raises:
        UserError: an unknown key, or a value of another form.
    """
    known = [each.name for each in fields(Edits)]
    if not isinstance(content, Mapping):
        raise UserError(f"edits: expected keys such as name, merge or drop, got {type(content).__name__}")
    for key in content:
        if key not in known:
            raise UserError(f"edits: no key '{key}'{did_you_mean(str(key), known, otherwise='list')}")
    given = {key: value for key, value in content.items() if value is not None}
    return Edits(
        name=_mapping("name", given.get("name", {}), str, "name: {0: lead white}"),
        colour=_mapping("colour", given.get("colour", {}), str, 'colour: {0: "#f0e0c0"}'),
        merge=tuple(tuple(_numbers("merge", one, "merge: [[0, 3]]")) for one in _groups(given.get("merge", ()))),
        drop=_numbers("drop", given.get("drop", ()), "drop: [5]"),
        split=_mapping("split", given.get("split", {}), int, "split: {2: 3}"),
        lock=_numbers("lock", given.get("lock", ()), "lock: [0]"),
        unlock=_numbers("unlock", given.get("unlock", ()), "unlock: [0]"),
    )


def _mapping(key: str, value: object, kind: type, example: str) -> dict[int, Any]:
    if isinstance(value, Mapping) and all(type(cluster) is int for cluster in value):
        if kind is str and all(isinstance(one, str) for one in value.values()):
            return dict(value)
        if kind is int and all(type(one) is int for one in value.values()):
            return dict(value)
    raise UserError(f"edits: {key}: expected numbers of clusters with a value for each, as in {example}, got {value!r}")


def _numbers(key: str, value: object, example: str) -> tuple[int, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(type(one) is int for one in value):
        return tuple(value)
    raise UserError(f"edits: {key}: expected a list of numbers of clusters, as in {example}, got {value!r}")


def _groups(value: object) -> Sequence[object]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise UserError(f"edits: merge: expected lists of clusters, as in merge: [[0, 3]], got {value!r}")


def relabel_segmentation(
    segmentation: Segmentation,
    edits: Edits | Mapping[str, Any],
    *,
    cube: SpectralCube | None = None,
    model: SegmentationModel | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """A segmentation with its clusters edited; the one given stays as it is.

    Clusters are numbered anew in the order of the first of their numbers before; the parts of a split cluster, the
    largest first, stand in its place. The mean spectra of merged clusters are those of all their pixels.

    Args:
        segmentation: what to edit.
        edits: what to change, as `Edits` or as a mapping like its YAML: `{"merge": [[0, 3]]}`.
        cube: the segmentation's cube, open; a split needs it, for the spectra of the parts.
        model: the model that made the segmentation; a split needs it too.
        progress: called with the name of the pass, the pixels done and all.

    Raises:
        UserError: a number is no cluster, two edits contradict each other, a cluster is locked, a split has no cube, no
            model or no latent points, or nothing would be left.
    """
    edits = edits if isinstance(edits, Edits) else parse_edits(edits)
    _check(segmentation, edits)
    locked = list(segmentation.locked or [False] * segmentation.k)
    names = list(segmentation.names or [""] * segmentation.k)
    colours = list(segmentation.colours or [""] * segmentation.k)
    for chosen, state in ((edits.unlock, False), (edits.lock, True)):
        for cluster in chosen:
            locked[cluster] = state
    for cluster, name in edits.name.items():
        names[cluster] = name.strip()
    for cluster, colour in edits.colour.items():
        colours[cluster] = colour.lower()
    groups = _grouped(segmentation.k, edits)
    for members in groups:
        first = members[0]
        # Of a merged cluster the name and colour are those of the first that has one.
        names[first] = next((names[one] for one in _listed(edits, members) if names[one]), "")
        colours[first] = next((colours[one] for one in _listed(edits, members) if colours[one]), "")
        locked[first] = any(locked[one] for one in members)
    found = segmentation
    if edits.changes_pixels:
        found = _merged(segmentation, groups)
    firsts = [members[0] for members in groups]
    found = replace(
        found,
        names=_or_none([names[first] for first in firsts]),
        colours=_or_none([colours[first] for first in firsts]),
        locked=tuple(locked[first] for first in firsts) if any(locked[first] for first in firsts) else None,
        edited=_followed(segmentation, {one: number for number, members in enumerate(groups) for one in members}),
    )
    if edits.split:
        place = {members[0]: number for number, members in enumerate(groups)}
        parts = {place[cluster]: number for cluster, number in edits.split.items()}
        found = _split(found, parts, cube, model, progress)
    return replace(found, notes=(*segmentation.notes, *_said(edits)))


def edits_of(segmentation: Segmentation) -> Edits:
    """The edits that make another segmentation by the same clusters of a model what this one is.

    Args:
        segmentation: one that was relabelled.

    Raises:
        UserError: a cluster was split, which has no counterpart in other cubes.
    """
    edited = segmentation.edited or tuple(range(segmentation.k))
    if SPLIT in edited:
        raise UserError(
            "its edits split a cluster, and the parts are known in its own cube alone: edit the other one with relabel"
        )
    members = [[one for one, now in enumerate(edited) if now == cluster] for cluster in range(segmentation.k)]
    names = segmentation.names or [""] * segmentation.k
    colours = segmentation.colours or [""] * segmentation.k
    return Edits(
        name={own[0]: name for own, name in zip(members, names, strict=True) if name},
        colour={own[0]: colour for own, colour in zip(members, colours, strict=True) if colour},
        merge=tuple(tuple(own) for own in members if len(own) > 1),
        drop=tuple(one for one, now in enumerate(edited) if now == -1),
        lock=tuple(own[0] for own, locked in zip(members, segmentation.locked or (), strict=False) if locked),
    )


def _check(segmentation: Segmentation, edits: Edits) -> None:
    """Refuse what is impossible, before anything is changed.

    Raises:
        UserError: saying what.
    """
    k = segmentation.k
    named = {
        "name": list(edits.name),
        "colour": list(edits.colour),
        "merge": [one for group in edits.merge for one in group],
        "drop": list(edits.drop),
        "split": list(edits.split),
        "lock": list(edits.lock),
        "unlock": list(edits.unlock),
    }
    if not any(named.values()):
        raise UserError("edits: nothing to change: expected some of name, colour, merge, drop, split, lock, unlock")
    for key, clusters in named.items():
        for cluster in clusters:
            if not 0 <= cluster < k:
                raise UserError(f"edits: {key}: no cluster {cluster}: expected 0 to {k - 1}")
    changed: dict[int, str] = {}
    for key in ("merge", "drop", "split"):
        for cluster in named[key]:
            if cluster in changed:
                raise UserError(f"edits: cluster {cluster} is in {changed[cluster]} and in {key}: once is possible")
            changed[cluster] = key
            if segmentation.locked and segmentation.locked[cluster] and cluster not in edits.unlock:
                raise UserError(f"edits: {key}: cluster {cluster} is locked; unlock: [{cluster}] allows it")
    for group in edits.merge:
        if len(group) < 2:
            raise UserError(f"edits: merge: expected two clusters or more in each list, got {list(group)}")
    for cluster, parts in edits.split.items():
        if not 2 <= parts <= MOST_PARTS:
            raise UserError(f"edits: split: expected 2 to {MOST_PARTS} parts of cluster {cluster}, got {parts}")
        if segmentation.sizes[cluster] < parts:
            raise UserError(
                f"edits: split: cluster {cluster} has {segmentation.sizes[cluster]} pixels, fewer than {parts} parts"
            )
    if both := sorted(set(edits.lock) & set(edits.unlock)):
        raise UserError(f"edits: cluster {both[0]} is in lock and in unlock")
    for cluster, name in edits.name.items():
        if len(name.strip()) > LONGEST_NAME or not name.isprintable():
            raise UserError(f"edits: name of cluster {cluster}: expected at most {LONGEST_NAME} characters in one line")
    for cluster, colour in edits.colour.items():
        if colour and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise UserError(f"edits: colour of cluster {cluster}: expected #rrggbb, as in '#f0e0c0', got {colour!r}")
    if set(edits.drop) >= {cluster for cluster in range(k) if segmentation.sizes[cluster] > 0}:
        raise UserError("edits: drop: no pixel would be left; keep a cluster")


def _grouped(k: int, edits: Edits) -> list[list[int]]:
    """The clusters before of each cluster after, by their first numbers; those that are split stay whole here."""
    merged = {one: sorted(group) for group in edits.merge for one in group}
    found = []
    for cluster in range(k):
        members = merged.get(cluster, [cluster])
        if cluster not in edits.drop and members[0] == cluster:
            found.append(members)
    return found


def _listed(edits: Edits, members: list[int]) -> Sequence[int]:
    """The members of a merged cluster in the order that the user gave them."""
    return next((group for group in edits.merge if set(group) == set(members)), members)


def _or_none(texts: list[str]) -> tuple[str, ...] | None:
    return tuple(texts) if any(texts) else None


def _followed(segmentation: Segmentation, now: Mapping[int, int]) -> tuple[int, ...]:
    """Where each cluster of the first segmentation is after one more edit."""
    edited = segmentation.edited or tuple(range(segmentation.k))
    return tuple(now.get(one, -1) if one >= 0 else one for one in edited)


def _merged(segmentation: Segmentation, groups: list[list[int]]) -> Segmentation:
    """The clusters put together, those in no group dropped."""
    before = segmentation
    number = len(groups)
    now = np.full(before.k + 1, -1, dtype=np.int16)  # the last: no cluster before
    for group, members in enumerate(groups):
        now[members] = group
    labels = now[before.labels]
    gone = (labels < 0) & (before.labels >= 0)
    sizes = np.array([before.sizes[members].sum() for members in groups])

    def mean(values_KX: NDArray[Any]) -> NDArray[np.float64]:
        seen = [[one for one in members if before.sizes[one] > 0] or members[:1] for members in groups]
        weights = [np.maximum(before.sizes[own], 1) for own in seen]
        return np.stack(
            [np.average(values_KX[own].astype(np.float64), 0, w) for own, w in zip(seen, weights, strict=True)]
        )

    def without(image: NDArray[Any] | None) -> Any:
        if image is None or not gone.any():
            return image
        image = image.copy()
        image[gone] = np.nan
        return image

    memberships = before.memberships
    if memberships is not None:
        memberships = np.stack([memberships[..., members].sum(-1) for members in groups], -1)
        total = memberships.sum(-1, keepdims=True)
        # What the dropped clusters had is shared out in proportion; a pixel that was all theirs keeps its label.
        memberships = np.divide(memberships, total, out=np.zeros_like(memberships), where=total > 0)
        memberships[labels < 0] = 0
        alone = (labels >= 0) & (total[..., 0] <= 0)
        memberships[alone, labels[alone]] = 1
    borders = before.borders
    if borders is not None:
        # The border of a merged cluster is as graded as the most graded of its parts.
        borders = np.array(
            [
                [1.0 if i == j else borders[np.ix_(first, second)].max() for j, second in enumerate(groups)]
                for i, first in enumerate(groups)
            ]
        ).reshape(number, number)
    sample = before.sample
    if sample is not None:
        kept = labels.ravel()[sample.pixels] >= 0
        sample = replace(sample, **{name: values[kept] for name, values in vars(sample).items()})
    statistics = before.statistics
    if statistics is not None:
        statistics = regrouped(statistics, before.mean_raw, before.sizes, groups)
    found = replace(
        before,
        labels=labels,
        k=number,
        cluster_centers=mean(before.cluster_centers).astype(np.float32),
        sizes=sizes,
        mean_raw=mean(before.mean_raw),
        mean_input=mean(before.mean_input),
        mean_reconstructed=mean(before.mean_reconstructed),
        decoded_centre=mean(before.decoded_centre),
        total_raw=without(before.total_raw),
        total_reconstructed=without(before.total_reconstructed),
        total_latent=without(before.total_latent),
        latents=without(before.latents),
        disagreement=None,  # what each network of an ensemble says of these clusters is not known
        memberships=memberships,
        borders=borders,
        sample=sample,
        statistics=statistics,
        leaves=None,
    )
    return replace(found, silhouette=_silhouette(found))


def _silhouette(segmentation: Segmentation) -> SilhouetteEstimate:
    if segmentation.latents is None:
        return SilhouetteEstimate(math.nan, math.nan, 0)
    z_PL = torch.from_numpy(segmentation.latents.reshape(-1, segmentation.latents.shape[-1]))
    labels_P = torch.from_numpy(segmentation.labels.reshape(-1).astype(np.int64))
    return silhouette_of(
        z_PL[labels_P >= 0], labels_P[labels_P >= 0], torch.Generator().manual_seed(segmentation.provenance.seed)
    )


def _split(
    segmentation: Segmentation,
    parts: Mapping[int, int],
    cube: SpectralCube | None,
    model: SegmentationModel | None,
    progress: Progress | None,
) -> Segmentation:
    """Divide clusters by their latent points, and average the spectra of all clusters anew."""
    latents = segmentation.latents
    if latents is None:
        raise UserError("edits: split: the segmentation kept no latent points: segment the cube anew")
    if cube is None or model is None:
        raise UserError(
            "edits: split: expected the cube and the model, for the spectra of the parts; a baseline has no model: "
            "make it anew with a larger --k, and merge what belongs together"
        )
    if cube.mask.shape != segmentation.labels.shape:
        raise UserError(f"edits: split: the cube has {cube.mask.shape} pixels, the map {segmentation.labels.shape}")
    generator = torch.Generator().manual_seed(segmentation.provenance.seed)
    labels = np.full_like(segmentation.labels, -1)
    parents: list[int] = []
    for cluster in range(segmentation.k):
        inside = segmentation.labels == cluster
        if cluster not in parts:
            labels[inside] = len(parents)
            parents.append(cluster)
            continue
        z_NL = torch.from_numpy(latents[inside])
        found = kmeans(z_NL, parts[cluster], n_init=_RESTARTS, generator=generator).labels.numpy()
        order = np.argsort(-np.bincount(found, minlength=parts[cluster]), kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        if (np.bincount(found, minlength=parts[cluster]) == 0).any():
            raise UserError(
                f"edits: split: the latent points of cluster {cluster} have fewer than {parts[cluster]} positions"
            )
        labels[inside] = len(parents) + rank[found]
        parents += [cluster] * parts[cluster]
    k = len(parents)

    def parted(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The first part keeps what the cluster had."""
        return None if texts is None else tuple("" if p in parents[:n] else texts[p] for n, p in enumerate(parents))

    memberships = segmentation.memberships
    if memberships is not None:
        spread = np.zeros((*labels.shape, k), dtype=np.float32)
        for number, cluster in enumerate(parents):
            here = labels == number if cluster in parts else np.ones(labels.shape, dtype=bool)
            first = cluster in parts and number == parents.index(cluster)
            spread[..., number] = np.where(
                here | (first & (segmentation.labels != cluster)), memberships[..., cluster], 0
            )
        memberships = spread
    sizes = np.bincount(labels[labels >= 0].ravel(), minlength=k)
    spectra = _means(segmentation, labels, k, cube, model, progress)
    place = {cluster: number for number, cluster in enumerate(parents) if cluster not in parts}
    locked = segmentation.locked
    found_again = replace(
        segmentation,
        labels=labels,
        k=k,
        sizes=sizes,
        memberships=memberships,
        borders=None,
        disagreement=None,
        leaves=None,
        names=parted(segmentation.names),
        colours=parted(segmentation.colours),
        locked=None if locked is None else tuple(locked[cluster] for cluster in parents),
        edited=tuple(
            place.get(one, SPLIT) if one >= 0 else one for one in segmentation.edited or range(segmentation.k)
        ),
        statistics=cluster_statistics(
            cube,
            labels,
            k,
            channels=segmentation.axis.channels,
            seed=segmentation.provenance.seed,
            progress=progress,
        ),
        **spectra,
    )
    return replace(found_again, silhouette=_silhouette(found_again))


def _means(
    segmentation: Segmentation,
    labels: NDArray[np.int16],
    k: int,
    cube: SpectralCube,
    model: SegmentationModel,
    progress: Progress | None,
) -> dict[str, Any]:
    """Centres and mean spectra of clusters, by their names in a segmentation."""
    from deepspec.clustering.refit import cluster_means
    from deepspec.data.scatter import first_channels
    from deepspec.segmentation.alignment import align
    from deepspec.segmentation.spectra import ClusterMeans, CubeSpectra, PixelRecord
    from deepspec.threads import one_thread_per_operation

    assert segmentation.latents is not None
    device = torch.device("cpu")
    labels_P = torch.from_numpy(labels.reshape(-1).astype(np.int64))
    cube = first_channels(cube, model.axis)
    alignment = align(cube, model, allow_rebin=True)
    training = model.training
    model.to(device)
    model.eval()
    try:
        with torch.inference_mode(), one_thread_per_operation() as threads:
            spectra = CubeSpectra(cube, model, alignment, 8192, device, threads, progress)
            record = PixelRecord(labels.size, segmentation.latents.shape[-1], device)
            record.z_PL = torch.from_numpy(segmentation.latents.reshape(labels.size, -1))
            means = ClusterMeans(spectra, k, record)
            for sums in spectra.map(
                lambda piece: means.sums(piece, record.z_PL[piece.pixels_N], labels_P[piece.pixels_N]),
                labels_P >= 0,
                "averaging",
            ):
                means.add(sums)
            known_KL = torch.zeros(k, record.z_PL.shape[1])
            centres_KL = cluster_means(record.z_PL, labels_P, known_KL)
            decoded_KD = model.decode(centres_KL).double().numpy()
    finally:
        model.train(training)
    if means.raw.shape[1] != segmentation.axis.channels or means.input.shape[1] != segmentation.decoded_axis.channels:
        raise UserError(
            f"edits: split: the cube was read with {means.raw.shape[1]} channels, the segmentation has "
            f"{segmentation.axis.channels}: give the options that it was read with"
        )
    return {
        "cluster_centers": centres_KL.numpy(),
        "mean_raw": means.raw,
        "mean_input": means.input,
        "mean_reconstructed": means.reconstructed,
        "decoded_centre": decoded_KD,
    }


def _said(edits: Edits) -> tuple[str, ...]:
    """What was changed, in a sentence; nothing where clusters were only named, coloured or locked."""
    parts = [f"{' and '.join(map(str, group))} merged" for group in edits.merge]
    parts += [f"{cluster} split into {number}" for cluster, number in edits.split.items()]
    if edits.drop:
        parts.append(f"{', '.join(map(str, edits.drop))} dropped")
    if not parts:
        return ()
    return (
        f"edited by hand (numbers as they were before): {'; '.join(parts)}; the evidence for more than one material is "
        "that of the clusters found",
    )
