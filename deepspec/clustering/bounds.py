"""How many clusters may be looked for."""

from __future__ import annotations

from deepspec.errors import UserError


def bounds_of(k: int | tuple[int, int] | None, default: tuple[int, int], points: int) -> tuple[int, int]:
    """Fewest and most clusters.

    Args:
        k: how many clusters, or the fewest and most; None for the default.
        default: of a clusterer; its most is lowered to what the points allow.
        points: how many there are.

    Raises:
        UserError: k is impossible, or more than the points allow.
    """
    if k is None:
        fewest, most = default[0], min(default[1], max(default[0], points - 1))
    else:
        fewest, most = (k, k) if isinstance(k, int) else k
    if not 1 <= fewest <= most:
        raise UserError(f"k: expected 1 <= fewest <= most clusters, got {fewest} and {most}")
    if (points <= most and points > 1) or points < 1:
        raise UserError(
            f"{points} usable pixels cannot be divided into {fewest} to {most} clusters: more pixels than clusters "
            "are needed; lower --k"
        )
    return fewest, most
