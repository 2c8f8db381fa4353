"""Hidden widths by rule: how fast a network narrows from the channels to the latent space."""

from __future__ import annotations

from typing import Literal, get_args

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
