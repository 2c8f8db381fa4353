"""What can be chosen about a segmentation: the same on the command line, in a job and in a call from Python.

A new option is a field here and its use; nothing else lists them. (torch is not needed to read a command line, so that
nothing here imports it.)
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from deepspec.errors import UserError, did_you_mean
from deepspec.renamed import OPTIONS, deprecated, has_old_words, in_new_words

if TYPE_CHECKING:
    from collections.abc import Callable

_Options = TypeVar("_Options", bound="SearchOptions")
_Call = TypeVar("_Call", bound="Callable[..., object]")

ClustersMode = Literal["frozen", "refit"]


@has_old_words
@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How pixels are divided into clusters and labelled.

    Args:
        k: number of clusters, or the fewest and the most. With refit the default is the range of the training, or no
            limit for a clusterer that finds K itself. With frozen: the number of clusters that the merge tree of the
            checkpoint is cut into.
        clusterer: method that finds new clusters: ikmeans (K-means, K by silhouette), valleys (merges clusters that no
            valley of density divides; finds K, which may be 1), gmm (Gaussian mixtures), hdbscan, or one that another
            package registers; default that of the training, and ikmeans for baselines.
        firm: valley ratio, 0 to 1, below which a border counts as one, for clusters found by valleys. The lower it is,
            the fewer clusters there are.
        spatial: strength 0 to 1 of the prior that neighbouring pixels are alike; default .5 for clusters of counts, 0
            for others.
        unassigned: whether pixels that are like no cluster get the label -1; default true, but false for K-means, whose
            clusters have no limits.
        sample: largest number of pixels in which clusters are looked for, and which a baseline is fitted on; all pixels
            are then labelled.
        n_init: number of K-means runs for each number of clusters.
        seed: seed of all random choices.
        device: where to compute: cpu, cuda, or auto: cuda where there is one.
    """

    k: int | tuple[int, int] | None = None
    clusterer: str | None = None
    firm: float | None = None
    spatial: float | None = None
    unassigned: bool | None = None
    sample: int = 32768
    n_init: int = 3
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            UserError: one is impossible whatever the cube.
        """
        if min(self.sample, self.n_init) < 1:
            raise UserError(f"sample and n_init: expected at least 1 of each, got {self.sample} and {self.n_init}")
        if self.spatial is not None and not 0 <= self.spatial <= 1:
            raise UserError(f"spatial: expected 0 to 1, got {self.spatial}")
        low, high = (self.k, self.k) if isinstance(self.k, int) else self.k or (1, 1)
        if not 1 <= low <= high:
            raise UserError(f"k: expected 1 <= fewest <= most clusters, got {low} and {high}")


@has_old_words
@dataclass(frozen=True, kw_only=True)
class SegmentOptions(SearchOptions):
    """How a fitted model segments a cube.

    Args:
        clusters: frozen: the clusters of the training, with their numbers, so that the same number is the same material
            in every cube; refit: new ones found in each cube.
        rebin: bring a cube on another axis onto that of the model; for a ready model this is done unasked.
    """

    clusters: ClustersMode = "frozen"
    rebin: bool = False

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            UserError: one is impossible whatever the cube.
        """
        super().__post_init__()
        if self.clusters not in ("frozen", "refit"):
            raise UserError(f"clusters: expected frozen or refit, got {self.clusters!r}")


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """How the folder of a segmentation is written.

    Args:
        scale: scale of the intensity axis in the figures: linear, sqrt, log, or auto, which is sqrt if a few peaks are
            far higher than the rest.
        export: what to write beside the segmentation and its figures, with commas between: report, tiff, fits, csv,
            msa, masks, memberships (probability of each cluster: a TIFF page of float32 per cluster, and a FITS cube
            with fits), svg, pdf, and of `segment` training, generated; auto: report, tiff, csv, and fits of a FITS
            cube; none; all.
        redshift: lowest and highest redshift at which to look for emission lines, for wavelengths.
        maps: beside the clusters, map how much of each element every pixel shows, or the flux, velocity and dispersion
            of emission lines: found (in the spectra of the clusters), or their names, as in Fe,Pb-L or Hα,[OIII]5007;
            default none. The cube is read once or twice more.
        names: segmentation whose clusters were edited by `relabel` (its folder or file): its names, colours, merges and
            drops are applied to the frozen clusters of the same checkpoint.
        overwrite: replace an earlier segmentation in `out`. If there are several cubes, replace the segmentations that
            were made with other files or options.
    """

    scale: Literal["auto", "linear", "sqrt", "log"] = "auto"
    export: str = "auto"
    redshift: tuple[float, float] = (0.0, 0.0)
    maps: str | None = None
    names: str | None = None
    overwrite: bool = False


def changed(options: _Options, changes: dict[str, Any], where: str) -> _Options:
    """The options with others in their place, as keywords of a call give them.

    Args:
        options: to start from.
        changes: by name.
        where: the call, for messages.

    Raises:
        UserError: there is no option of this name, or a value is impossible.
    """
    known = [field.name for field in fields(options)]
    changes = in_new_words(changes, deprecated, OPTIONS)
    for name in changes:
        if name not in known:
            raise UserError(f"{where}: no option {name!r}{did_you_mean(name, known, otherwise='list')}")
    return replace(options, **changes)


def with_keywords_of(options: type[SearchOptions]) -> Callable[[_Call], _Call]:
    """Decorate a call that takes the fields of `options` as keywords, so that `help` shows them and their defaults."""

    def decorate(call: _Call) -> _Call:
        own = [each for each in inspect.signature(call).parameters.values() if each.kind is not each.VAR_KEYWORD]
        named = {each.name for each in own}
        keywords = [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in fields(options)
            if field.name not in named
        ]
        call.__signature__ = inspect.Signature([*own, *keywords])  # type: ignore[attr-defined]
        return call

    return decorate
