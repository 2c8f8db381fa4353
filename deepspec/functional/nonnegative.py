"""Non-negative least squares for very many right sides that share one matrix.

Shapes: E unknowns, P problems.
"""

from __future__ import annotations

import torch
from torch import Tensor

SWEEPS = 400
"""Most passes over the unknowns; ten to fifty are usual."""


def nonnegative_least_squares(gram_EE: Tensor, right_EP: Tensor, *, tolerance: float = 1e-4) -> Tensor:
    """Solve min over a >= 0 of a' G a / 2 - a' b for each column b, by cyclic coordinate descent (Franc et al. 2005).

    Each coordinate is set to its best value given the others, for all problems at once; the function is convex, so that
    this converges to the one minimum. Problems that have converged are set aside.

    Args:
        gram_EE: (E, E) symmetric, positive definite, floating point.
        right_EP: (E, P) of the same type, on the same device.
        tolerance: a problem is done when no unknown moves by more than this many of its standard deviations,
            1 / sqrt(G_ee), in a pass.

    Returns:
        (E, P) not negative.

    Raises:
        ValueError: the shapes do not fit, or the diagonal is not positive.
    """
    unknowns = len(gram_EE)
    if gram_EE.shape != (unknowns, unknowns) or right_EP.ndim != 2 or len(right_EP) != unknowns:
        raise ValueError(f"expected (E, E) and (E, P), got {tuple(gram_EE.shape)} and {tuple(right_EP.shape)}")
    if unknowns == 0:
        return right_EP.clone()
    scale_E = gram_EE.diagonal()
    if not bool((scale_E > 0).all()):
        raise ValueError("expected a matrix with a positive diagonal")
    scale_E = scale_E.rsqrt()
    # In units of the standard deviations the diagonal is 1.
    gram_EE = gram_EE * scale_E[:, None] * scale_E
    right_EP = right_EP * scale_E[:, None]
    found_EP = _unconstrained(gram_EE, right_EP).clamp_(min=0)
    open_P = torch.arange(right_EP.shape[1], device=right_EP.device)
    now_EP = found_EP.clone()
    off_EE = gram_EE - torch.diag(gram_EE.diagonal())
    for sweep in range(SWEEPS):
        moved_P = torch.zeros_like(now_EP[0])
        for e in range(unknowns):
            best_P = (right_EP[e] - off_EE[e] @ now_EP).clamp_(min=0)
            moved_P = torch.maximum(moved_P, (best_P - now_EP[e]).abs_())
            now_EP[e] = best_P
        going_P = moved_P > tolerance
        if sweep % 4 == 3 or not bool(going_P.any()):
            found_EP[:, open_P] = now_EP
            if not bool(going_P.any()):
                break
            open_P, now_EP, right_EP = (
                open_P[going_P],
                now_EP[:, going_P].contiguous(),
                right_EP[:, going_P].contiguous(),
            )
    else:
        found_EP[:, open_P] = now_EP
    return found_EP * scale_E[:, None]


def _unconstrained(gram_EE: Tensor, right_EP: Tensor) -> Tensor:
    whole = gram_EE.double()
    inverse: Tensor = torch.linalg.pinv(whole, hermitian=True).to(gram_EE.dtype)
    return inverse @ right_EP
