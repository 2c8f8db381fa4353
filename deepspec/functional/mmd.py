"""Maximum mean discrepancy between two samples: how far the latents are from the prior.

Equation 5 of Bombini et al. 2024: `E k(x, x') - 2 E k(x, y) + E k(y, y')` (Gretton et al. 2012, JMLR 13:723). `mmd`
takes a sample of the prior; against the standard normal a Gaussian kernel needs none, its expectations are Gaussian
integrals (`normal_mmd`): no noise from the draws, and half the work.

Shapes: N latents, M prior points, L dimensions. All kernels are functions of the squared distance, so value and
gradient are both sums over the same matrix; the gradient is formed in the forward pass, where the matrix is at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional as F

from deepspec.functional.distances import check_points, factors, weighted_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Kernel = Literal["rbf", "imq", "paper"]
Estimator = Literal["biased", "unbiased"]

MEDIAN_POINTS = 32
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
    _check_options(kernel, bandwidths, estimator)
    squares = _squared_bandwidths(kernel, bandwidths, x_NL, y_ML)
    unbiased = estimator == "unbiased"
    return _MMD.apply(x_NL, y_ML, kernel != "imq", squares, unbiased)  # type: ignore[no-untyped-call,no-any-return]


def normal_mmd(
    x_NL: Tensor,
    *,
    kernel: Literal["rbf", "paper"] = "rbf",
    bandwidths: Sequence[float] | None = None,
    estimator: Estimator = "biased",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy between a sample and the standard normal distribution itself.

    What `mmd` estimates from draws of the prior N(0, 1), without drawing: for y and y' from it,
    `E exp(-|x-y|^2 / 2s^2) = (s^2 / (s^2+1))^(L/2) exp(-|x|^2 / 2(s^2+1))` and
    `E exp(-|y-y'|^2 / 2s^2) = (s^2 / (s^2+2))^(L/2)`.

    Args:
        x_NL: (N, L) float latents; finite.
        kernel: "rbf" or "paper", see `mmd`; the inverse multiquadratic has no closed form.
        bandwidths: see `mmd`; None takes the median distance among some latents and as many draws from the prior.
        estimator: see `mmd`; it concerns the pairs of latents.
        generator: CPU generator of the draws for the median; None uses torch's global one.

    Returns:
        A scalar, differentiable in `x_NL`.

    Raises:
        ValueError: as for `mmd`.
    """
    check_points(x_NL, "x", minimum=2 if estimator == "unbiased" else 1)
    if kernel not in ("rbf", "paper"):
        raise ValueError(f"kernel: expected 'rbf' or 'paper', which have a closed form, got {kernel!r}")
    _check_options(kernel, bandwidths, estimator)
    draws = torch.empty(0)
    if kernel == "rbf" and bandwidths is None:
        draws = torch.randn(min(MEDIAN_POINTS, len(x_NL)), x_NL.shape[1], generator=generator).to(x_NL)
    squares = _squared_bandwidths(kernel, bandwidths, x_NL, draws)
    return _NormalMMD.apply(x_NL, squares, estimator == "unbiased")  # type: ignore[no-untyped-call,no-any-return]


def _check_options(kernel: str, bandwidths: Sequence[float] | None, estimator: str) -> None:
    if kernel not in ("rbf", "imq", "paper"):
        raise ValueError(f"kernel: expected 'rbf', 'imq' or 'paper', got {kernel!r}")
    if estimator not in ("biased", "unbiased"):
        raise ValueError(f"estimator: expected 'biased' or 'unbiased', got {estimator!r}")
    if bandwidths is not None and (kernel == "paper" or len(bandwidths) == 0 or min(bandwidths) <= 0):
        raise ValueError(f"bandwidths: expected positive numbers, and none for the paper's kernel, got {bandwidths}")


def _squared_bandwidths(kernel: Kernel, bandwidths: Sequence[float] | None, x_NL: Tensor, y_ML: Tensor) -> list[float]:
    if kernel == "paper":
        return [x_NL.shape[1] ** 2 / 2]  # exp(-d^2 / L^2) is the Gaussian of 2 s^2 = L^2
    if bandwidths is None:
        return [_median_square(x_NL, y_ML)]
    return [s**2 for s in bandwidths]


def _median_square(x_NL: Tensor, y_ML: Tensor) -> float:
    """Median squared distance between evenly spaced members of the pooled samples; 1 if they all coincide."""
    picks = [z[:: max(1, len(z) // MEDIAN_POINTS)][:MEDIAN_POINTS].detach() for z in (x_NL, y_ML)]
    return float(F.pdist(torch.cat(picks)).square().median()) or 1.0


class _MMD(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NL: Tensor, y_ML: Tensor, gaussian: bool, squares: list[float], unbiased: bool) -> Tensor:
        # Kernels are smooth at 0, so the distances need not be formed in float64.
        origin_L = x_NL.detach().mean(0)
        x, y = x_NL.detach() - origin_L, y_ML.detach() - origin_L
        of_x, of_y = ctx.needs_input_grad[:2]
        kernels = _Kernels(gaussian, squares)
        within_x, across, grad_x = _one_side(x, y, kernels, unbiased, of_x)
        within_y, _, grad_y = _one_side(y, x if of_y else x[:0], kernels, unbiased, of_y)
        ctx.save_for_backward(grad_x, grad_y)
        return within_x + within_y - 2 * across

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grads = [upstream * grad if grad is not None else None for grad in ctx.saved_tensors]
        return grads[0], grads[1], None, None, None


class _NormalMMD(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NL: Tensor, squares: list[float], unbiased: bool) -> Tensor:
        x_NL = x_NL.detach()
        n, dimensions = x_NL.shape
        wants_gradient, share = ctx.needs_input_grad[0], 1 / len(squares)
        a_NL = x_NL - x_NL.mean(0)
        value, _, grad_NL = _one_side(a_NL, a_NL[:0], _Kernels(True, squares), unbiased, wants_gradient)
        length_N1 = x_NL.square().sum(1, keepdim=True)
        for s2 in squares:
            factor = -2 * share / n * (s2 / (s2 + 1)) ** (dimensions / 2)
            across_N1 = (length_N1 * (-0.5 / (s2 + 1))).exp_()
            value = value + (factor * across_N1.sum() + share * (s2 / (s2 + 2)) ** (dimensions / 2))
            if grad_NL is not None:
                grad_NL.addcmul_(across_N1, x_NL, value=-factor / (s2 + 1))
        ctx.save_for_backward(grad_NL)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (grad_NL,) = ctx.saved_tensors
        return upstream * grad_NL, None, None


def _one_side(
    a_NL: Tensor, b_ML: Tensor, kernels: _Kernels, unbiased: bool, wants_gradient: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Mean kernel within `a`, mean kernel between `a` and `b`, and the gradient of the discrepancy to `a`.

    Every point of `a` against all of `a` and `b` in one matrix: in training it is the number of operations that costs.
    """
    n, m = len(a_NL), len(b_ML)
    pairs = n * (n - int(unbiased))
    left, right = factors(torch.cat([a_NL, b_ML]))
    share = 1 / len(kernels.squares)
    # d k(|a_i - c_j|^2) / d a_i = 2 k' (a_i - c_j), and within one sample every pair occurs twice.
    weight_P1 = left.new_full((n + m, 1), 4 * share / pairs)
    weight_P1[n:] = -4 * share / (n * max(m, 1))
    weighted = torch.cat([left[:, :-1] * weight_P1, weight_P1], 1)
    sums_P, grad_NL = left.new_zeros(n + m), None
    for s2 in kernels.squares:
        k_NP, slope_NP, factor = kernels.at(left[:n], right, s2)
        sums_P += k_NP.sum(0)
        if wants_gradient:
            pull_NL = weighted_differences(slope_NP, a_NL, weighted).mul_(factor)
            grad_NL = pull_NL if grad_NL is None else grad_NL.add_(pull_NL)
    within = (sums_P[:n].sum() * share - (n if unbiased else 0)) / pairs
    return within, sums_P[n:].sum() * (share / (n * max(m, 1))), grad_NL


@dataclass(frozen=True)
class _Kernels:
    """Kernels of one family, one for every squared bandwidth."""

    gaussian: bool  # otherwise inverse multiquadratic
    squares: list[float]

    def at(self, left: Tensor, right: Tensor, s2: float) -> tuple[Tensor, Tensor, float]:
        """Kernel of the distances that `left @ right` is, and its derivative by them as a matrix and a factor."""
        if self.gaussian:
            k_NP = ((left * (-0.5 * math.log2(math.e) / s2)) @ right).exp2_()  # half the time of exp
            return k_NP, k_NP, -0.5 / s2
        k_NP = ((left / s2) @ right).add_(1).reciprocal_()
        return k_NP, k_NP.square(), -1 / s2
