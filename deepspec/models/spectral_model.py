"""SpectralModel: axis, preprocessing, network and clusters together, as a checkpoint holds them.

What training adds is in `deepspec.training.module`; using a model needs none of it, nor the seconds that importing
Lightning takes. A checkpoint is read as tensors and plain types, never as code.

Shapes: N spectra, C raw channels, E channels after the preprocessing is undone, L latent dimensions (of all members
of an ensemble).
"""

from __future__ import annotations

import copy
import os
import pickle
import time
import zipfile
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor, nn

from deepspec.axis import SpectralAxis
from deepspec.clustering import ClustererConfig, Clusters
from deepspec.data.archive_check import check_archive
from deepspec.errors import UserError, described
from deepspec.files import model_file
from deepspec.models.autoencoder import VariationalAutoencoder
from deepspec.models.config import NetworkConfig
from deepspec.models.network import build_network
from deepspec.models.outside import OutsideNetwork
from deepspec.preprocess import Preprocess
from deepspec.renamed import in_new_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FORMAT = "deepspec-checkpoint"
"""The entry of a checkpoint that holds what is not weights."""

VERSION = 1
"""What `FORMAT` counts: it rises when a checkpoint changes so that an older deepspec would misread it."""

TRAINING_ONLY = "deep_baseline."
"""How the names of weights begin that training needs and the use of a model does not."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a deepspec checkpoint: tensors and plain types only, all of it compared with its checksums.

    The latest file is kept in memory, so that the segmentation, its figures and its report read it once. What is
    returned is the caller's own, but for the numbers in the tensors.

    Args:
        path: the file, the run folder that `fit` wrote it into, or a ready model, as `pretrained:xrf`.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint of deepspec, or of a newer version.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f"expected the path of a checkpoint, got {described(path)}")
    path = model_file(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; `fit` writes model.ckpt into its run folder")
    content = _content(path, _state_of(path))
    return {name: copy.deepcopy(part) if name == FORMAT else copy.copy(part) for name, part in content.items()}


def _state_of(path: Path) -> tuple[int, int, int, int]:
    """What changes when a file does; never the same of one that may be changing now."""
    stat = path.stat()
    now = time.time_ns()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, 0 if now - stat.st_mtime_ns > _SETTLED_NS else now


_SETTLED_NS = 2_000_000_000


@lru_cache(maxsize=1)
def _content(path: Path, state: tuple[int, int, int, int]) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: expected a checkpoint, got a file that cannot be read as one (no archive, or cut short)"
        )
    check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What torch says here advises to run the code in the file, which is never the cure.
        raise UserError(
            f"{path}: expected a checkpoint written by deepspec.fit, which holds tensors and plain values only; this "
            "file holds objects of a program or is damaged, and was not read: give the model.ckpt of a run of deepspec"
        ) from error
    except Exception as error:  # torch raises half a dozen types on a file that is no checkpoint
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: expected a checkpoint, got a file that cannot be read as one ({reason})") from error
    if not isinstance(content, dict) or FORMAT not in content:
        raise UserError(f"{path}: expected a checkpoint written by deepspec.fit, got another kind of file")
    check_version(content[FORMAT], path)
    found: dict[str, Any] = content
    return found


def check_version(part: Any, path: str | Path) -> None:
    """Refuse a checkpoint that this version of deepspec cannot read.

    Args:
        part: the entry `FORMAT` of a checkpoint.
        path: its file, for messages.

    Raises:
        UserError: the version is newer than `VERSION`, or there is none.
    """
    version = part.get("version") if isinstance(part, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(
            f"{path}: expected a checkpoint with its version, got {version!r} in its place: it was changed or damaged"
        )
    if version > VERSION:
        raise UserError(
            f"{path}: a checkpoint of version {version}, which a newer deepspec wrote; this one reads {VERSION} and "
            "older: update deepspec (pip install --upgrade deepspec)"
        )


@contextmanager
def parts_of(path: str | Path) -> Iterator[None]:
    """Turn what is missing from a checkpoint, or does not fit together in it, into one error that names the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, yaml.YAMLError) as error:
        # A state_dict that does not fit is a RuntimeError of as many lines as there are weights.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path}: the checkpoint lacks a part, or one does not fit the others ({reason}): it was changed, or "
            "written by another version of deepspec"
        ) from error


def trained_range(content: dict[str, Any]) -> tuple[int, int] | None:
    """Fewest and most clusters that the run of a checkpoint looked for; None where it has no configuration of `fit`."""
    config = yaml.safe_load(content[FORMAT]["config"]) or {}
    ikmeans = config.get("ikmeans") or {}
    return (ikmeans["k_min"], ikmeans["k_max"]) if {"k_min", "k_max"} <= set(ikmeans) else None


def trained_clusterer(content: dict[str, Any]) -> ClustererConfig | None:
    """What divided the latents of the run of a checkpoint; None where it has no configuration of `fit` that says so."""
    config = yaml.safe_load(content[FORMAT]["config"]) or {}
    found = config.get("clusterer")
    return ClustererConfig(**in_new_words({"clusterer": found})["clusterer"]) if found else None


class SpectralModel(nn.Module):
    """A (variational) autoencoder of raw spectra with the clusters of its latent space.

    Args:
        axis: calibration of the raw channels, as `SpectralAxis.to_dict` gives it.
        network: shape of encoder and decoder.
        preprocess: steps from raw spectra to the network's input, in order (see `deepspec.preprocess`).
        max_clusters: the most clusters that there is room for.
        training_spectra: how many there are, which bounds the widths of the network; None: the widths are as given.

    Attributes:
        network_config: shape of the network as it was built.
    """

    def __init__(
        self,
        axis: dict[str, Any],
        network: NetworkConfig,
        preprocess: list[str | dict[str, Any]],
        max_clusters: int,
        training_spectra: int | None = None,
    ) -> None:
        super().__init__()
        self.axis = SpectralAxis.from_dict(axis)
        self.preprocess = Preprocess(self.axis.channels, preprocess)
        channels = self.preprocess.channels_out
        self.network_config = network if training_spectra is None else network.sized_for(channels, training_spectra)
        self.network = build_network(channels, self.network_config)
        self.clusters = Clusters(self.network.latent, max_clusters)
        self.reading: dict[str, Any] | None = None
        """How the cubes of the training data were read, where it is known; see `open_as_recorded`."""
        self.k_range: tuple[int, int] | None = None
        """Fewest and most clusters that the training looked for, where it is known."""
        self.clusterer: ClustererConfig | None = None
        """What divided its latents, likewise."""
        self.ready: str | None = None
        """The name of a ready model that comes with deepspec: cubes are brought onto its axis without being asked."""

    @classmethod
    def load(cls, path: str | Path) -> SpectralModel:
        """The model of a checkpoint, on the CPU, ready to encode.

        Args:
            path: a checkpoint that `fit` wrote, or a ready model, as `pretrained:xrf`. Only plain types and tensors are
                read, no code.

        Raises:
            UserError: the file is missing, no checkpoint, or not one of deepspec.
        """
        content = read_checkpoint(path)
        with parts_of(path):
            settings = content[FORMAT]["settings"]
            network = NetworkConfig(**settings["network"])
            model = SpectralModel(settings["axis"], network, settings["preprocess"], settings["max_clusters"])
            model.reading = content[FORMAT].get("reading")
            model.k_range, model.clusterer = trained_range(content), trained_clusterer(content)
            model.ready = content[FORMAT].get("ready")
            weights = content["state_dict"]
            model.load_state_dict({name: weights[name] for name in weights if not name.startswith(TRAINING_ONLY)})
        return model.eval()

    @torch.no_grad()
    def encode(self, x_NC: Tensor) -> Tensor:
        """Latent points of raw spectra.

        Args:
            x_NC: (N, C) raw spectra of any real dtype on the model's device, channels as in `axis`.

        Returns:
            (N, L) float32; for a variational network the means. Call `eval()` first on a model that was training.
        """
        return self.network.encode(self.preprocess(x_NC)).mean_NL.float()

    @torch.no_grad()
    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra of latent points, with the preprocessing undone as far as it can be.

        Returns:
            (N, E) float32, of the quantity `preprocess.invertible_to`, on the channels of `decoded_axis`.
        """
        return self.preprocess.inverse(self.network.decode(z_NL).float())

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, E) new spectra from the prior; a variational model's only.

        Raises:
            UserError: the network is a plain autoencoder.
        """
        if not isinstance(self.network, (VariationalAutoencoder, OutsideNetwork)) or not self.network.variational:
            raise UserError("only a variational network can generate spectra: fit with model.network.variational true")
        return self.preprocess.inverse(self.network.sample(n, generator))

    @property
    def decoded_axis(self) -> SpectralAxis:
        """Positions of the channels of `decode`."""
        return self.preprocess.decoded_axis(self.axis)
