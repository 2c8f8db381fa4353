"""Networks that another package brings: `model.network.class_path`.

Such a network is a `torch.nn.Module` that is built as `Class(channels=C, latent=L, **init_args)` and has

    encode(x_NC) -> z_NL                    latent points (N, L) of preprocessed spectra, float (N, C)
    decode(z_NL) -> x_NC                    spectra (N, C) on the preprocessed scale

With `model.network.variational: true` its `encode` gives a pair, means (N, L) and logarithms of variances (N, L).
It is named in the configuration by its full name,

    model: {network: {class_path: mypackage.ConvNet, latent: 3, init_args: {kernel: 7}}}

or by the name of an entry point:

    [project.entry-points."deepspec.networks"]
    conv = "mypackage:ConvNet"

A checkpoint holds the class's name, its arguments and its weights. Whoever loads it needs the package, of which nothing
is called unless the class is such a network.

Shapes: N spectra, C channels after preprocessing, L latent dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deepspec.errors import UserError
from deepspec.extensions import Extensible, class_named
from deepspec.models.autoencoder import LOG_VARIANCE_RANGE, Latent, from_prior, reparameterise

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepspec.models.config import NetworkConfig

_KEY = "model.network.class_path"


def _check(name: str, network: type[nn.Module]) -> None:
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise TypeError("a network is a subclass of torch.nn.Module")
    missing = [method for method in ("encode", "decode") if not callable(getattr(network, method, None))]
    if missing:
        raise TypeError(f"a network has encode(x_NC) and decode(z_NL); {network.__name__} has no {missing[0]}")


networks: Extensible[type[nn.Module]] = Extensible("network", "deepspec.networks", {}, _check)
"""Networks of other packages by name."""


def network_class(class_path: str) -> type[nn.Module]:
    """The class of a network by its full name, or by its name in `networks`.

    Raises:
        UserError: there is none, it cannot be imported, or it cannot serve.
    """
    if "." not in class_path:
        try:
            return networks[class_path]
        except UserError as error:
            raise UserError(f"{_KEY}: {error}") from error
    found = class_named(class_path, nn.Module, _KEY)
    try:
        _check(class_path, found)
    except TypeError as error:
        raise UserError(f"{_KEY}: {class_path}: {error}") from error
    return found


class OutsideNetwork(nn.Module):
    """A network of another package, with what the rest of deepspec expects of one.

    Args:
        channels: number of channels C of a spectrum, after preprocessing.
        config: with its class.

    Attributes:
        inner: the network itself.

    Raises:
        UserError: the class cannot be imported or built, or gives something else than it has to.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__()
        assert config.class_path is not None
        self.channels, self.latent, self.members = channels, config.latent, 1
        self.variational = config.variational
        self._name = config.class_path
        kind = network_class(config.class_path)
        try:
            self.inner: Any = kind(channels=channels, latent=config.latent, **config.init_args)
        except Exception as error:
            given = ", ".join(["channels", "latent", *config.init_args])
            raise UserError(f"{_KEY}: {self._name} cannot be built from {given} ({_words(error)})") from error
        self._try()

    def encode(self, x_NC: Tensor) -> Latent:
        """Latent points of preprocessed spectra `x_NC`, float (N, C)."""
        found = self.inner.encode(x_NC)
        mean_NL, log_variance_NL = found if isinstance(found, tuple) else (found, None)
        return Latent(mean_NL, None if log_variance_NL is None else log_variance_NL.clamp(*LOG_VARIANCE_RANGE))

    def decode(self, z_NL: Tensor) -> Tensor:
        """Spectra (N, C), preprocessed scale, of latent points `z_NL`, float (N, L)."""
        x_NC: Tensor = self.inner.decode(z_NL)
        return x_NC

    def reconstructions(self, z_NL: Tensor) -> Tensor:
        """What is held against the spectra in training: `decode`."""
        return self.decode(z_NL)

    def reparameterise(self, latent: Latent, generator: torch.Generator | None = None) -> Tensor:
        """As `VariationalAutoencoder.reparameterise`."""
        return reparameterise(latent, generator)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """As `VariationalAutoencoder.sample`."""
        return self.decode(from_prior(n, self.latent, next(self.parameters()), generator))

    def forward(self, x_NC: Tensor) -> Tensor:
        """Reconstruction (N, C) of preprocessed spectra `x_NC`, without sampling."""
        return self.decode(self.encode(x_NC).mean_NL)

    @torch.no_grad()
    def _try(self) -> None:
        """Two spectra of zeros through it, which shows what a training would stumble over."""
        self.eval()
        x_NC = torch.zeros(2, self.channels)
        latent = self._tried(self.encode, x_NC)
        self._expect(latent.mean_NL, self.latent, "encode")
        if latent.log_variance_NL is not None:
            if not self.variational:
                raise UserError(f"{_KEY}: {self._name}.encode gives a pair: set network.variational true")
            self._expect(latent.log_variance_NL, self.latent, "encode, second of the pair,")
        elif self.variational:
            raise UserError(
                f"{_KEY}: {self._name}: with network.variational encode gives means and logarithms of variances; got "
                "one tensor"
            )
        self._expect(self._tried(self.decode, latent.mean_NL), self.channels, "decode")
        self.train()

    def _tried(self, method: Callable[[Tensor], Any], given: Tensor) -> Any:
        try:
            return method(given)
        except Exception as error:
            raise UserError(
                f"{_KEY}: {self._name}.{method.__name__} fails on shape {tuple(given.shape)}: {_words(error)}"
            ) from error

    def _expect(self, found: Tensor, columns: int, method: str) -> None:
        if tuple(found.shape) != (2, columns):
            raise UserError(
                f"{_KEY}: {self._name}: expected {method} to give shape {(2, columns)} for 2 spectra of "
                f"{self.channels} channels, got {tuple(found.shape)}"
            )


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
