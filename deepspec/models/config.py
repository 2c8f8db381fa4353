"""What a network looks like, as plain values that fit a YAML file and a checkpoint.

Hidden widths can follow a rule: how fast a network narrows from the channels to the latent space.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from deepspec.errors import UserError

WidthRule = Literal["linear", "power"]


def encoder_widths(channels: int, layers: int, rule: WidthRule, smallest: int) -> list[int]:
    """Widths of an encoder's hidden layers, from the widest to the narrowest.

    Layer k = 1, 2, ... has `channels / 2k` nodes (`linear`) or `channels / 2^k` (`power`), rounded down, "up to the
    latent space dimension" (Bombini et al. 2024, section 2.1): a width that is not above `smallest` is left out
    together with all that would follow, so fewer than `layers` widths may come back.

    >>> encoder_widths(512, 4, "power", smallest=3)
    [256, 128, 64, 32]
    >>> encoder_widths(512, 4, "linear", smallest=3)
    [256, 128, 85, 64]
    >>> encoder_widths(20, 9, "power", smallest=3)
    [10, 5]

    Args:
        channels: number of input channels, at least 2.
        layers: the most hidden layers to make, at least 1.
        rule: `linear` or `power`.
        smallest: the latent dimension, at least 1; every width is above it.

    Returns:
        At least one and at most `layers` widths.

    Raises:
        UserError: a number is too small, the rule is unknown, or not even the first width is above `smallest`.
    """
    if rule not in get_args(WidthRule):
        raise UserError(f"rule must be one of {', '.join(get_args(WidthRule))}; got {rule!r}")
    if channels < 2 or layers < 1 or smallest < 1:
        raise UserError(
            "widths need channels >= 2, layers >= 1 and a latent dimension >= 1; "
            f"got channels={channels}, layers={layers}, latent={smallest}"
        )
    widths: list[int] = []
    for k in range(1, layers + 1):
        width = channels // (2 * k if rule == "linear" else 2**k)
        if width <= smallest:
            break
        widths.append(width)
    if not widths:
        raise UserError(
            f"no hidden layer fits between {channels} channels and a latent dimension of {smallest}: "
            f"the first would have {channels // 2} nodes; lower `latent` or give `encoder` widths by hand"
        )
    return widths


NetworkKind = Literal["snn", "mlp"]
LatentActivation = Literal["tanh", "none"]
OutputActivation = Literal["sigmoid", "linear", "softplus"]


@dataclass(frozen=True)
class NetworkConfig:
    """Shape and layers of an autoencoder; the number of channels comes from the data.

    The networks of Bombini et al. (2024), section 3, are `encoder=[256, 128, 64, 32]`, `decoder=[64, 128, 256]`,
    `variational=True` on 512 channels (XRF) and `encoder=[512, 256, 32]`, `decoder=[128, 256]` on 1024 (nebulae).
    """

    kind: NetworkKind = "snn"
    """Hidden layers: `snn` is SELU with alpha dropout (self-normalising), `mlp` is ReLU with dropout."""

    encoder: list[int] | None = None
    """Hidden widths from the channels inwards, e.g. [256, 128, 64, 32]. By `rule` and `layers` if not given."""

    decoder: list[int] | None = None
    """Hidden widths from the latent space outwards, e.g. [64, 128, 256]. The encoder's, mirrored, if not given."""

    rule: WidthRule = "power"
    """Widths where `encoder` is not given: channels / 2k (`linear`) or channels / 2^k (`power`), k = 1, 2, ..."""

    layers: int = 4
    """The most hidden layers that `rule` makes; it stops above the latent dimension."""

    spectra_per_node: float = 0.0
    """Training spectra that each node of a hidden layer must have: layers wider than their number divided by this are
    narrowed to it, and several that become equally wide are one. 0: the widths stay whatever the data. At 1 no layer
    has more nodes than there are spectra, whose span has no more directions than that."""

    latent: int = 3
    """Dimension of the latent space."""

    dropout: float = 0.0
    """Probability of dropping a hidden node in training; at 0 there is no dropout layer to pay for."""

    bias: bool = False
    """Whether hidden layers have a bias. The published networks have none; latent and output layers always do."""

    latent_activation: LatentActivation = "tanh"
    """`tanh` acts on the encoder's last hidden vector, before the linear latent layer; `none` leaves that vector
    with the activation of the other hidden layers. The latent values themselves are unbounded in both cases."""

    output: OutputActivation = "sigmoid"
    """Last activation: `sigmoid` for spectra scaled to 0..1, `softplus` for non-negative, `linear` for any."""

    variational: bool = False
    """Whether the encoder gives a distribution (mean and log-variance) and the decoder can generate spectra."""

    ensemble: int = 1
    """Networks of this shape that are trained side by side, each from initial weights of its own. Clusters are then
    their consensus, and maps say where they disagree."""

    class_path: str | None = None
    """A network of another package in place of these layers: `package.module.Class`, or the name of an entry point of
    the group deepspec.networks; see `deepspec.models.outside`. Of the keys above, latent and variational remain."""

    init_args: dict[str, Any] = field(default_factory=dict)
    """What that class is built with beside channels and latent."""

    def __post_init__(self) -> None:
        """Check each value and say which key to change."""
        self._check_outside()
        for key, value, choices in (
            ("kind", self.kind, NetworkKind),
            ("rule", self.rule, WidthRule),
            ("latent_activation", self.latent_activation, LatentActivation),
            ("output", self.output, OutputActivation),
        ):
            if value not in get_args(choices):
                raise UserError(f"network.{key} must be one of {', '.join(get_args(choices))}; got {value!r}")
        for key, number in (("latent", self.latent), ("layers", self.layers), ("ensemble", self.ensemble)):
            if number < 1:
                raise UserError(f"network.{key} must be at least 1; got {number}")
        if self.ensemble > 1 and self.variational:
            raise UserError(
                f"network.ensemble {self.ensemble} is for plain autoencoders: set network.variational false, or "
                "network.ensemble 1"
            )
        if self.spectra_per_node < 0:
            raise UserError(f"network.spectra_per_node must be at least 0; got {self.spectra_per_node:g}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"network.dropout must be at least 0 and below 1; got {self.dropout}")
        if self.encoder is not None and not self.encoder:
            raise UserError("network.encoder must hold at least one width; leave it out to use `rule` and `layers`")
        for key, widths in (("encoder", self.encoder), ("decoder", self.decoder)):
            if any(width < 1 for width in widths or []):
                raise UserError(f"network.{key} must hold widths of at least 1; got {widths}")

    def _check_outside(self) -> None:
        if self.class_path is None:
            if self.init_args:
                raise UserError("network.init_args is of a class: give network.class_path, or leave it out")
            return
        for field_ in fields(self):
            name, value = field_.name, getattr(self, field_.name)
            if name not in ("latent", "variational", "class_path", "init_args") and value != field_.default:
                raise UserError(
                    f"network.{name} is of deepspec's own layers: leave it out beside network.class_path "
                    f"{self.class_path}, whose settings are network.init_args"
                )
        for name in ("channels", "latent"):
            if name in self.init_args:
                where = "is network.latent" if name == "latent" else "comes from the data"
                raise UserError(f"network.init_args.{name}: leave it out, it {where}")

    def plain(self) -> dict[str, Any]:
        """As plain values for a checkpoint; without the class of another package where there is none.

        Checkpoints without such a class are then read by versions that know of none.
        """
        values = asdict(self)
        if self.class_path is None:
            del values["class_path"], values["init_args"]
        return values

    def hidden_widths(self, channels: int) -> tuple[list[int], list[int]]:
        """Hidden widths of encoder and decoder for spectra of `channels` channels.

        >>> NetworkConfig(latent=3, layers=3).hidden_widths(1024)
        ([512, 256, 128], [128, 256, 512])
        """
        encoder = self.encoder
        if encoder is None:
            encoder = encoder_widths(channels, self.layers, self.rule, smallest=self.latent)
        decoder = encoder[::-1] if self.decoder is None else self.decoder
        return list(encoder), list(decoder)

    def sized_for(self, channels: int, spectra: int) -> NetworkConfig:
        """This network for so many training spectra, its widths spelt out; itself where nothing has to be narrowed.

        N spectra span no more than N directions of the channel space, so wider layers can tell nothing more apart, and
        learn the spectra by heart with their weights. Measured on 41 and 60 made spectra of four materials, 200 steps:
        at 1 spectrum per node, with a sixth to a ninth of the weights, the same clusters as with 256-128-64-32 (ARI .94
        to 1); at 4 and more the layers were too narrow to be trained in so many steps. No layer becomes narrower than
        one node more than the latent space has dimensions.

        >>> few = NetworkConfig(encoder=[256, 128, 64, 32], spectra_per_node=1).sized_for(2000, 97)
        >>> few.encoder, few.decoder
        ([97, 64, 32], [32, 64, 97])

        Args:
            channels: number of channels after preprocessing.
            spectra: number of training spectra.
        """
        if self.spectra_per_node == 0:
            return self
        most = max(int(spectra / self.spectra_per_node), self.latent + 1)
        widths = self.hidden_widths(channels)
        encoder, decoder = (_narrowed(layers, most) for layers in widths)
        return self if (encoder, decoder) == widths else replace(self, encoder=encoder, decoder=decoder)


def _narrowed(widths: list[int], most: int) -> list[int]:
    """No width above `most`; layers that follow each other and would both be that wide are one."""
    if max(widths, default=0) <= most:
        return widths
    lowered = [min(width, most) for width in widths]
    return [width for i, width in enumerate(lowered) if i == 0 or width < most or lowered[i - 1] < most]
