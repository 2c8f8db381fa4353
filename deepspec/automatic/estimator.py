"""DeepSpectralClustering: training and clustering of spectra as an estimator of scikit-learn.

Shapes: N spectra, C channels (features), L latent dimensions, K clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.metrics import silhouette_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from deepspec.automatic.experiment import keys_of, without_neighbours
from deepspec.automatic.kind import Kind, kind_of_spectra
from deepspec.axis import SpectralAxis
from deepspec.clustering import ClustererConfig, Valleys
from deepspec.clustering.counts import are_counts
from deepspec.clustering.refit import find_clusters
from deepspec.data.axis_choice import read_axis
from deepspec.errors import UserError, described
from deepspec.functional.kmeans import fitting_range
from deepspec.segmentation.model import choose_device
from deepspec.training.in_memory import build_model, encode_evenly, train_in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

FEW_CHANNELS = 8
"""Fewer channels than these are no spectrum: min-max or unit length of two numbers leave one angle, or less."""

_LINEAR: list[dict[str, Any]] = [{"step": "pca", "components": 16}, {"step": "standard", "scale": "global"}]
_SAMPLE, _SCORED, _STEPS = 32768, 4096, 800


# scikit-learn has no types
class DeepSpectralClustering(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Cluster spectra in the latent space of an autoencoder that is trained on them.

    What `auto_segment` does with an image, for rows of spectra: pixels have no neighbours here, so nothing is measured
    or smoothed by them. It trains in memory, writes no files and changes no state of the process.

    >>> from sklearn.datasets import make_blobs
    >>> spectra = abs(make_blobs(200, 20, centers=4, random_state=0)[0])
    >>> DeepSpectralClustering(n_clusters=4, random_state=0).fit_predict(spectra).shape
    (200,)

    Args:
        n_clusters: K of 1 or more, or the fewest and the most; None finds it in the data: counts by the valleys between
            heaps (it may be 1), all else by the silhouette, for K from 3 to 10.
        axis: positions of the C channels, as a `SpectralAxis` or a text (`FIRST:LAST:UNIT`); None counts them. What the
            spectra are taken for depends on it, see `kind_of_spectra`.
        experiment: how to preprocess and train: name of a preset, path of a YAML file, or its keys; None chooses by
            what the spectra are. Steps that need neighbouring pixels are left out. Values that are no intensities, with
            a mean below 0 in some channel, and fewer than 8 channels are centred and scaled together alone.
        clusterer: what divides the latent points: ikmeans, valleys, gmm, hdbscan, a registered one, or a
            `ClustererConfig`; None takes the experiment's.
        max_iter: steps of the optimiser; None takes the experiment's.
        device: where to compute: cpu, cuda, or auto: cuda where there is one.
        random_state: seed of all random choices, a generator of NumPy (`RandomState`), or None for another result in
            each fit. On a CPU the same number gives the same result.

    Attributes:
        labels_: int64 (N,), 0 to K - 1: the cluster of each spectrum of `fit`.
        cluster_centers_: float64 (K, C): the mean spectrum of each cluster, in the units of `fit`'s spectra; NaN of
            a cluster that none of them is in.
        n_clusters_: K.
        n_features_in_: C.
        n_iter_: steps of the optimiser that were done.
        reconstruction_error_: mean squared error of the last epoch, in units of the preprocessed spectra.
        model_: the trained `DeepClustering`, with `save` and `decoded_axis`.
        partition_: the clusters, with how they were found in `partition_.search`.
        experiment_: what the spectra were taken for, why, and how they were trained, in a sentence.
    """

    def __init__(
        self,
        n_clusters: int | tuple[int, int] | None = None,
        *,
        axis: SpectralAxis | str | None = None,
        experiment: str | Path | Mapping[str, Any] | None = None,
        clusterer: str | ClustererConfig | None = None,
        max_iter: int | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.axis = axis
        self.experiment = experiment
        self.clusterer = clusterer
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a network on spectra and divide its latent space.

        Args:
            X: (N, C) finite real numbers, N of 2 or more.
            y: not used.

        Raises:
            UserError: which is a ValueError: a parameter is impossible, or the spectra are too few or too alike.
        """
        x = validate_data(self, X, ensure_min_samples=2)
        axis = self._axis(x.shape[1])
        seed = self._seed()
        keys, told = self._keys(x, axis)
        k = self._wanted_k(keys, len(x))
        x_NC = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
        if not bool(x_NC.isfinite().all()):
            raise UserError("expected numbers up to 3e38, which single precision can hold, got larger ones")
        model = build_model(keys, axis, len(x_NC), seed)
        data, steps = keys.get("data") or {}, self._steps(keys, len(x_NC))
        self.reconstruction_error_ = train_in_memory(
            model,
            x_NC,
            steps=steps,
            batch_size=int(data.get("batch_size", 512)),
            min_batches=int(data.get("min_batches", 1)),
            seed=seed,
            device=choose_device(self.device),
        )
        z_NL = encode_evenly(model, x_NC)
        config = self._clusterer(keys)
        clusterer, generator = config.build(model.network.members), torch.Generator().manual_seed(seed)
        measured = None
        if isinstance(clusterer, Valleys) and clusterer.evidence != "latents":
            chosen = torch.randperm(len(x_NC), generator=generator)[:_SAMPLE]
            if clusterer.evidence == "counts" or are_counts(x_NC[chosen], axis.unit):
                measured = z_NL[chosen], x_NC[chosen]
        partition = find_clusters(clusterer, z_NL, k, measured, generator, sample=_SAMPLE)
        model.clusters.set(partition.to(next(model.parameters()).device))
        model.clusterer = config
        self.model_, self.partition_, self.experiment_ = model, partition, told
        self.n_iter_, self.n_clusters_ = steps, partition.k
        self._n_features_out = z_NL.shape[1]
        self.labels_ = self._assigned(z_NL, x_NC)
        self.cluster_centers_ = _means(np.asarray(x, dtype=np.float64), self.labels_, partition.k)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The cluster that explains each spectrum best, int64 (N,), 0 to K - 1.

        Args:
            X: (N, C) spectra on the channels of `fit`.
        """
        x_NC = self._spectra(X)
        return self._assigned(encode_evenly(self.model_, x_NC), x_NC)

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Latent points, float32 (N, L); those of an ensemble of networks stand side by side.

        Args:
            X: (N, C) spectra on the channels of `fit`.
        """
        found: NDArray[np.float32] = encode_evenly(self.model_, self._spectra(X)).numpy()
        return found

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Spectra of latent points, float32 (N, E), with the preprocessing undone as far as it can be.

        E is C, but where the experiment sums channels into bins (`model_.decoded_axis`). What the numbers are,
        `model_.preprocess.invertible_to` says: counts, or intensities without the spectrum's own level.

        Args:
            X: (N, L) latent points, as `transform` gives them.
        """
        check_is_fitted(self)
        z_NL = check_array(X, dtype=np.float32)
        if z_NL.shape[1] != self._n_features_out:
            raise UserError(
                f"expected latent points of {self._n_features_out} dimensions, as transform gives them, got "
                f"{z_NL.shape[1]}"
            )
        device = next(self.model_.parameters()).device
        found: NDArray[np.float32] = self.model_.decode(torch.from_numpy(z_NL).to(device)).cpu().numpy()
        return found

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Silhouette (-1 to 1) of the clusters among the spectra as they are given, for searches of settings.

        Distances between the spectra are no matter of training, where those between latent points can be made as good
        as one likes. A good value is no proof of clusters. At most 4,096 spectra are looked at.

        Args:
            X: (N, C) spectra on the channels of `fit`.
            y: not used.

        Returns:
            0 where fewer than two clusters have any spectra, or each its own.
        """
        check_is_fitted(self)
        x = validate_data(self, X, reset=False)
        chosen = np.random.default_rng(0).permutation(len(x))[:_SCORED]
        labels = self.predict(x[chosen])
        if not 2 <= len(np.unique(labels)) < len(labels):
            return 0.0
        return float(silhouette_score(np.asarray(x[chosen], dtype=np.float64), labels))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # latent points are float32
        return tags

    def _spectra(self, X: ArrayLike) -> torch.Tensor:
        check_is_fitted(self)
        x = validate_data(self, X, reset=False)
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))

    def _assigned(self, z_NL: torch.Tensor, x_NC: torch.Tensor) -> NDArray[np.int64]:
        parts = zip(torch.split(z_NL, _SAMPLE), torch.split(x_NC, _SAMPLE), strict=True)
        return torch.cat([self.partition_.assign(z_nL, x_nC) for z_nL, x_nC in parts]).numpy().astype(np.int64)

    def _axis(self, channels: int) -> SpectralAxis:
        if self.axis is None:
            return SpectralAxis.linear(0, 1, channels, "channel")
        axis = read_axis(self.axis, channels) if isinstance(self.axis, str) else self.axis
        if not isinstance(axis, SpectralAxis):
            raise UserError(f"axis: expected a SpectralAxis, a text or None, got {described(axis)}")
        if axis.channels != channels:
            raise UserError(f"the axis has {axis.channels} channels, the spectra have {channels}")
        return axis

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and self.random_state >= 0:
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _keys(self, x: NDArray[Any], axis: SpectralAxis) -> tuple[dict[str, Any], str]:
        """The experiment, and what to say of it."""
        if self.experiment is not None:
            return without_neighbours(keys_of(self.experiment)), "trained by the experiment that was given"
        means_C = x.mean(axis=0)
        if axis.unit == "channel" and (x.shape[1] < FEW_CHANNELS or means_C.min() < 0):
            few = (
                f"{x.shape[1]} channels"
                if x.shape[1] < FEW_CHANNELS
                else f"channels with a mean of {means_C.min():.4g}"
            )
            keys = without_neighbours(keys_of("hyperspectral"))
            keys["model"]["preprocess"] = [dict(step) for step in _LINEAR]
            return keys, Kind("hyperspectral", "features, not intensities", few).sentence + ", but for its scalings"
        kind = kind_of_spectra(x, axis, x.dtype)
        return without_neighbours(keys_of(kind.experiment)), kind.sentence

    def _clusterer(self, keys: Mapping[str, Any]) -> ClustererConfig:
        own = ClustererConfig(**(keys.get("clusterer") or {}))
        if self.clusterer is None:
            return own
        if isinstance(self.clusterer, str):
            return own if self.clusterer == own.kind else ClustererConfig(kind=self.clusterer)
        if not isinstance(self.clusterer, ClustererConfig):
            raise UserError(f"clusterer: expected a name or a ClustererConfig, got {described(self.clusterer)}")
        return self.clusterer

    def _wanted_k(self, keys: Mapping[str, Any], spectra: int) -> int | tuple[int, int] | None:
        """How many clusters to look for; None leaves it to the clusterer."""
        k = self.n_clusters
        if k is not None:
            pair = (k, k) if isinstance(k, (int, np.integer)) and not isinstance(k, bool) else k
            if not isinstance(pair, tuple) or len(pair) != 2 or not 1 <= pair[0] <= pair[1]:
                raise UserError(
                    f"n_clusters: expected a number of 1 or more, a pair (fewest, most), or None, got {k!r}"
                )
            return int(k) if not isinstance(k, tuple) else (int(pair[0]), int(pair[1]))
        if self._clusterer(keys).kind != "ikmeans":
            return None
        own = keys.get("ikmeans") or {}
        return fitting_range(int(own.get("k_min", 3)), int(own.get("k_max", 10)), spectra)

    def _steps(self, keys: Mapping[str, Any], spectra: int) -> int:
        """Steps of the optimiser: as asked for, or what ends the experiment first."""
        if self.max_iter is not None:
            if isinstance(self.max_iter, bool) or not isinstance(self.max_iter, (int, np.integer)) or self.max_iter < 1:
                raise UserError(f"max_iter: expected a whole number of 1 or more, got {self.max_iter!r}")
            return int(self.max_iter)
        trainer, data = keys.get("trainer") or {}, keys.get("data") or {}
        epoch = max(spectra // min(int(data.get("batch_size", 512)), spectra), int(data.get("min_batches", 1)))
        steps, epochs = int(trainer.get("max_steps", -1)), int(trainer.get("max_epochs", -1))
        ends = [end for end in (steps, epochs * epoch) if end > 0]
        return min(ends, default=_STEPS)


def _means(x_NC: NDArray[np.float64], labels_N: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(K, C), NaN of an empty cluster."""
    found = np.full((k, x_NC.shape[1]), np.nan)
    for cluster in np.unique(labels_N):
        found[cluster] = x_NC[labels_N == cluster].mean(axis=0)
    return found
