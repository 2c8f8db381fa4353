"""Fit a baseline to a cube and segment the cube by it.

A baseline is fitted on a bounded random sample of the usable spectra, by preprocessing that suits them where the user
names none.

Shapes: H rows, W columns, P pixels of the cube, S spectra of the sample, C channels, D preprocessed channels, L latent
dimensions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from deepspec.baselines.embeddings import Colours, Identity, NonNegativeComponents, PrincipalComponents, colours_of
from deepspec.baselines.model import BaselineModel
from deepspec.baselines.options import COMPONENTS, BaselineOptions
from deepspec.baselines.umap import ManifoldEmbedding, check_installed
from deepspec.clustering.counts import are_counts
from deepspec.clustering.ikmeans import K_RANGE
from deepspec.data.neighbours import neighbours_of
from deepspec.data.pixels import dead_pixels
from deepspec.errors import UserError
from deepspec.preprocess import Preprocess
from deepspec.segmentation import BaselineRecord, segment_cube
from deepspec.segmentation.options import SearchOptions, SegmentOptions, changed, with_keywords_of
from deepspec.segmentation.spectra import SAMPLE_VALUES, SpectraSample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.axis import SpectralAxis
    from deepspec.baselines.model import Embedding
    from deepspec.baselines.options import Method
    from deepspec.clustering import Clusterer, ClustererConfig
    from deepspec.data.cube import SpectralCube
    from deepspec.segmentation import Segmentation


class Chain(NamedTuple):
    """Preprocessing steps and why they were taken."""

    steps: list[str | dict[str, Any]]
    """As `Preprocess` takes them."""
    reason: str
    """What they suit."""


def suitable_chain(x_SC: Tensor, axis: SpectralAxis, *, non_negative: bool) -> Chain:
    """The recommended preprocessing: `experiments/xrf.yaml` for counts, each channel to 0..1 for anything else.

    Args:
        x_SC: a sample of raw spectra.
        axis: their axis.
        non_negative: whether the result must have no negative values, so that nothing may be centred.
    """
    if not are_counts(x_SC, axis.unit):
        whole = axis.unit == "channel" and bool(((x_SC >= 0) & (x_SC == x_SC.round())).all())
        doubt = (
            "; without an energy axis whole numbers are taken for counts only where 1 % of them are 0, and --axis "
            "FIRST:LAST:keV makes counts of them"
        )
        return Chain(["minmax"], "for intensities that are no counts" + (doubt if whole else ""))
    if non_negative:
        return Chain(["sqrt"], "for counts")
    return Chain(["sqrt", {"step": "standard", "scale": "global"}], "for counts")


def sample_cube(
    cube: SpectralCube, size: int, seed: int, progress: Callable[[str, int, int], None] | None = None
) -> tuple[NDArray[np.int64], Tensor]:
    """Read a cube once, by rows, and keep some of its spectra, chosen uniformly at random.

    Args:
        cube: an open cube.
        size: most spectra; fewer of many channels, so that the sample takes no more than 256 MiB.
        seed: of the choice; it does not depend on the size of the blocks that are read.
        progress: called after each block with the name of the pass, the pixels done and all.

    Returns:
        Which pixels (S,), counted along the rows, and their raw spectra (S, C), float32.

    Raises:
        UserError: no pixel has a usable spectrum.
    """
    rows, columns, channels = cube.shape
    size = min(size, max(1, SAMPLE_VALUES // channels))
    kept = SpectraSample(rows * columns, size, torch.Generator().manual_seed(seed), torch.device("cpu"))
    for block, x_nWC in cube.blocks(cube.block_pixels):
        usable = cube.mask[block] & ~dead_pixels(x_nWC)
        pixels = np.flatnonzero(usable) + block.start * columns
        if len(pixels):
            kept.add(torch.from_numpy(pixels), torch.from_numpy(x_nWC[usable].astype(np.float32)))
        if progress is not None:
            progress("sampling", block.stop * columns, rows * columns)
    if len(kept.pixels_N) == 0:
        cube.find_dead()  # explains, if it can
        raise UserError(f"{cube.path or 'the cube'}: no pixel has a usable spectrum")
    return kept.pixels_N.numpy(), kept.spectra_ND


def fit_to_cube(
    preprocess: Preprocess,
    x_SC: Tensor,
    cube: SpectralCube,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Fit preprocessing to a sample of a cube, and to pairs of its neighbouring pixels where a step needs them.

    Args:
        preprocess: to fit.
        x_SC: raw spectra of the cube.
        cube: read once more for neighbours.
        seed: of their choice.
        progress: as for `sample_cube`.

    Raises:
        UserError: as `Preprocess.fit`.
    """
    pairs = neighbours_of(cube, seed, progress) if preprocess.needs_neighbours else None
    preprocess.fit(x_SC, None if pairs is None else torch.from_numpy(pairs.spectra_MC.astype(np.float32)))


MOST_LATENTS = 2**28
"""Most latent values of a cube, 1 GiB: they are all held in memory, and some copies of them at the peak."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A fitted baseline."""

    model: BaselineModel
    """What `segment_cube` takes."""
    inputs: NDArray[np.float32] | None
    """(H, W, 3) colours, which `segment_cube` takes as `inputs`, or None where spectra are encoded."""
    notes: tuple[str, ...]
    """What was fitted, in sentences."""


def fit_baseline(
    cube: SpectralCube,
    method: Method,
    options: BaselineOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Baseline:
    """Fit a baseline on a sample of a cube's spectra; the cube is read once, and again for the noise that `mnf` needs.

    Args:
        cube: an open cube.
        method: raw: the preprocessed spectra themselves; pca; nmf; umap, with the extra of this name; rgb: the
            colours of a picture.
        options: what can be chosen.
        progress: called after each block with the name of the pass, the pixels done and all.

    Raises:
        UserError: an option is missing, impossible or for another method, the preprocessing does not suit the
            spectra, there are too few of them, or umap-learn is not installed.
    """
    options = options or BaselineOptions()
    options.check(method)
    if method == "umap":
        check_installed()
    colours: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    if options.image is not None:
        colours, notes = colours_of(options.image, cube.mask.shape, resample=options.resample)
    pixels_S, x_SC = sample_cube(cube, options.sample, options.seed, progress)
    chain = _chain(x_SC, cube, method, options)
    preprocess = Preprocess(cube.shape[2], chain.steps)
    fit_to_cube(preprocess, x_SC, cube, options.seed, progress)
    y_SD = preprocess(x_SC).numpy()
    network, described = _embed(y_SD, method, options, None if colours is None else colours.reshape(-1, 3)[pixels_S])
    _check_size(cube, method, network.latent)
    steps = ", ".join(str(step).replace("'", "") for step in chain.steps)
    note = f"baseline {method}{described}; preprocessing [{steps}]"
    if chain.reason:
        note += f", taken {chain.reason} (--preprocess sets another)"
    return Baseline(BaselineModel(cube.axis, preprocess, network), colours, (note, *preprocess.notes, *notes))


@with_keywords_of(BaselineOptions)
def segment_by_baseline(
    cube: SpectralCube,
    method: Method,
    options: BaselineOptions | None = None,
    *,
    clusterer: str | ClustererConfig | Clusterer | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **changes: Any,
) -> Segmentation:
    """Fit a baseline and cluster the same cube, as `segment_cube` does with a network.

    Args:
        cube: an open cube; it is read three times.
        method: as `fit_baseline`.
        options: what can be chosen; each option may be given as a keyword too. Without `k`, IKMeans (the clusterer
            unless another is named) tries 3 to 10, as far as the pixels suffice. Fitting, and umap as a whole, run on
            the CPU whatever the device.
        clusterer: besides what `SearchOptions` names, a configuration or any `Clusterer`.
        progress: as `fit_baseline`.
        **changes: any field of `BaselineOptions`, such as `k=(2, 6)`.

    Raises:
        UserError: as `fit_baseline` and `segment_cube`.
    """
    options = changed(options or BaselineOptions(), changes, "segment_by_baseline")
    fitted = fit_baseline(cube, method, options, progress)
    if fitted.inputs is not None:
        _check_colours(fitted.inputs[cube.mask], options)
    search = {field.name: getattr(options, field.name) for field in fields(SearchOptions)}
    found = segment_cube(
        cube,
        fitted.model,
        SegmentOptions(clusters="refit", **search),
        clusterer=clusterer,
        inputs=fitted.inputs,
        progress=progress,
    )
    record = BaselineRecord(method, json.dumps(fitted.model.preprocess.spec), options.sample)
    return replace(found, notes=(*fitted.notes, *found.notes), baseline=record)


def _chain(x_SC: Tensor, cube: SpectralCube, method: Method, options: BaselineOptions) -> Chain:
    if options.preprocess is not None:
        return Chain(options.preprocess, "")
    if method == "rgb":
        return Chain([], "")  # the spectra are averaged, not compared
    return suitable_chain(x_SC, cube.axis, non_negative=method == "nmf")


def _embed(
    y_SD: NDArray[np.float32], method: Method, options: BaselineOptions, colours_S3: NDArray[np.float32] | None
) -> tuple[Embedding, str]:
    """The fitted embedding, and words about it."""
    if colours_S3 is not None:
        return Colours(colours_S3, y_SD), f": colours of {options.image}"
    if method == "raw":
        return Identity(y_SD.shape[1]), f": {y_SD.shape[1]} channels"
    components = _components(y_SD, method, options)
    words = f": {components} component{'s' if components > 1 else ''}"
    if method == "umap":
        network = ManifoldEmbedding(y_SD, components, options.neighbours, options.min_dist, options.seed)
        return network, f"{words}, fitted on {len(y_SD)} spectra"
    if method == "pca":
        pca = PrincipalComponents(y_SD, components, options.seed)
        return pca, f"{words}, {100 * pca.explained:.3g} % of the variance of {len(y_SD)} spectra"
    if (low := float(y_SD.min())) < 0:
        raise UserError(
            f"nmf needs values of at least 0, but the preprocessed spectra go down to {low:.3g}: preprocess without "
            "centring, by [minmax], or by [clip, sqrt] for counts"
        )
    nmf = NonNegativeComponents(y_SD, components, options.seed)
    settled = "" if nmf.converged else ", which had not settled when the iterations ended"
    return nmf, f"{words}, {100 * (1 - nmf.residual):.3g} % of the squares of {len(y_SD)} spectra{settled}"


def _components(y_SD: NDArray[np.float32], method: Method, options: BaselineOptions) -> int:
    spectra, channels = len(y_SD), int(y_SD.shape[1])
    least = max(options.neighbours, options.components or COMPONENTS[method]) + 2 if method == "umap" else 2
    if spectra < least:
        raise UserError(f"{method} needs at least {least} usable spectra to fit on, got {spectra}")
    if options.components is None:
        return min(COMPONENTS[method], channels, spectra)
    if options.components > min(channels, spectra):
        raise UserError(
            f"components: expected at most {min(channels, spectra)}, for {spectra} spectra of {channels} preprocessed "
            f"channels, got {options.components}"
        )
    return options.components


def _check_colours(colours_N3: NDArray[np.float32], options: BaselineOptions) -> None:
    found = len(np.unique(colours_N3, axis=0))
    fewest = options.k if isinstance(options.k, int) else (options.k or K_RANGE)[0]
    if found < fewest:
        raise UserError(f"{options.image} has {found} different colours, too few for {fewest} clusters: lower --k")


def _check_size(cube: SpectralCube, method: Method, latent: int) -> None:
    values = cube.mask.size * latent
    if values > MOST_LATENTS:
        raise UserError(
            f"{method} with {latent} dimensions needs {4 * values / 2**30:.1f} GiB for {cube.mask.size} pixels, more "
            f"than {4 * MOST_LATENTS / 2**30:.0f}: fewer --components or --channels, or a first step of --preprocess "
            f"such as {{step: rebin, bins: {max(2, MOST_LATENTS // cube.mask.size)}}}"
        )
