"""Maximum mean discrepancy between two samples: how far the latents are from the prior.

Equation 5 of Bombini et al. 2024: `E k(x, x') - 2 E k(x, y) + E k(y, y')` (Gretton et al. 2012, JMLR 13:723).

Shapes: N latents, M prior points, L dimensions. All kernels are functions of the squared distance, so value and
gradient are both sums over the same matrix; the gradient is formed in the forward pass, where the matrix is at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional as F

from deepspec.functional.distances import check_points, factors, weighted_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Kernel = Literal["rbf", "imq", "paper"]
Estimator = Literal["biased", "unbiased"]

MEDIAN_POINTS = 40
"""Points of each sample that the median heuristic looks at."""


def mmd(
    x_NL: Tensor,
    y_ML: Tensor,
    *,
    kernel: Kernel = "rbf",
    bandwidths: Sequence[float] | None = None,
    estimator: Estimator = "biased",
) -> Tensor:
    """Squared maximum mean discrepancy; differentiable in both samples.

    Args:
        x_NL: (N, L) float latents; finite.
        y_ML: (M, L) float draws from the prior; finite.
        kernel: "rbf" `exp(-d^2 / (2 s^2))`; "imq" inverse multiquadratic `s^2 / (s^2 + d^2)`; "paper"
            `exp(-d^2 / L^2)`, the published code's (it divides by the latent dimension twice).
        bandwidths: values of s, in units of the latents; the kernel is their mean. None takes the median distance of
            the pooled samples (without gradient). Not for "paper", which has no bandwidth.
        estimator: "biased" averages over all pairs, a point with itself included: equation 5 as printed, never
            negative. "unbiased" leaves those out; its expectation is 0 for equal distributions.

    Returns:
        A scalar, 0 when the samples coincide (biased).

    Raises:
        ValueError: for samples of different dimension, not finite or too small, and for impossible options.

    >>> z = torch.tensor([[0.0], [1.0]])
    >>> float(mmd(z, z, bandwidths=[1.0]))
    0.0
    """
    least = 2 if estimator == "unbiased" else 1
    check_points(x_NL, "x", minimum=least)
    check_points(y_ML, "y", minimum=least)
    if x_NL.shape[1] != y_ML.shape[1]:
        raise ValueError(f"expected samples of one dimension, got {x_NL.shape[1]} for x and {y_ML.shape[1]} for y")
    if kernel not in ("rbf", "imq", "paper"):
        raise ValueError(f"kernel: expected 'rbf', 'imq' or 'paper', got {kernel!r}")
    if estimator not in ("biased", "unbiased"):
        raise ValueError(f"estimator: expected 'biased' or 'unbiased', got {estimator!r}")
    if bandwidths is not None and (kernel == "paper" or len(bandwidths) == 0 or min(bandwidths) <= 0):
        raise ValueError(f"bandwidths: expected positive numbers, and none for the paper's kernel, got {bandwidths}")
    if kernel == "paper":
        squares = [x_NL.shape[1] ** 2 / 2]  # exp(-d^2 / L^2) is the Gaussian of 2 s^2 = L^2
    elif bandwidths is None:
        squares = [_median_square(x_NL, y_ML)]
    else:
        squares = [s**2 for s in bandwidths]
    unbiased = estimator == "unbiased"
    return _MMD.apply(x_NL, y_ML, kernel != "imq", squares, unbiased)  # type: ignore[no-untyped-call,no-any-return]


@torch.no_grad()
def _median_square(x_NL: Tensor, y_ML: Tensor) -> float:
    """Median squared distance between evenly spaced members of the pooled samples; 1 if they all coincide."""
    picks = [z[:: max(1, len(z) // MEDIAN_POINTS)][:MEDIAN_POINTS] for z in (x_NL.detach(), y_ML.detach())]
    return float(F.pdist(torch.cat(picks)).square().median()) or 1.0


class _MMD(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NL: Tensor, y_ML: Tensor, gaussian: bool, squares: list[float], unbiased: bool) -> Tensor:
        # Kernels are smooth at 0, so the distances need not be formed in float64.
        origin = x_NL.detach().mean(0)
        points = x_NL.detach() - origin, y_ML.detach() - origin
        left, right = zip(*(factors(z) for z in points), strict=True)
        grads = [torch.zeros_like(z) for z in points]
        n, m, own = len(x_NL), len(y_ML), int(unbiased)
        # Each term: the samples, the weight of a pair, and how many pairs are of a point with itself and do not count.
        terms = [(0, 0, 1 / (n * (n - own)), own * n), (1, 1, 1 / (m * (m - own)), own * m), (0, 1, -2 / (n * m), 0)]
        value = torch.zeros((), dtype=x_NL.dtype, device=x_NL.device)
        for a, b, weight, selves in terms:
            d2_AB = left[a] @ right[b]
            for s2 in squares:
                k_AB, slope_AB, factor = _kernel(d2_AB, gaussian, s2)
                share = weight / len(squares)
                value.add_(k_AB.sum() - selves, alpha=share)
                # d k(|a_i - b_j|^2) / d a_i = 2 k' (a_i - b_j); within one sample every pair occurs twice.
                if ctx.needs_input_grad[a]:
                    pull = weighted_differences(slope_AB, points[a], left[b])
                    grads[a].add_(pull, alpha=(4 if a == b else 2) * share * factor)
                if a != b and ctx.needs_input_grad[b]:
                    pull = weighted_differences(slope_AB.T, points[b], left[a])
                    grads[b].add_(pull, alpha=2 * share * factor)
        ctx.save_for_backward(*grads)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_x, grad_y = ctx.saved_tensors
        return upstream * grad_x, upstream * grad_y, None, None, None


def _kernel(d2_AB: Tensor, gaussian: bool, s2: float) -> tuple[Tensor, Tensor, float]:
    """Kernel, and its derivative by the squared distance as a matrix and a factor."""
    if gaussian:
        k_AB = (d2_AB * (-0.5 / s2)).exp_()
        return k_AB, k_AB, -0.5 / s2
    k_AB = s2 / (s2 + d2_AB)
    return k_AB, k_AB.square(), -1 / s2
