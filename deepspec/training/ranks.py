"""What the ranks of a run tell each other. Every rank has to call each of these, as often as the others.

Shapes: N rows of this rank, M of all ranks, D columns.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def ddp_strategy(*, unused: bool) -> DDPStrategy:
    """Data parallel training that in a step exchanges nothing but gradients: every rank comes to the same buffers.

    Args:
        unused: whether there are steps that some parameters have no part in, which has to be looked for.
    """
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # renamed in torch 2.13
    options: dict[str, Any] = {"find_unused_parameters": unused, name: False}
    return DDPStrategy(**options)


def world_size() -> int:
    """Number of ranks; 1 without distributed training."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def joint_rows(x_ND: Tensor, *, equal: bool) -> Tensor:
    """The rows of all ranks, in the order of the ranks; with one rank its own, untouched.

    Differentiable where the ranks have equally many rows: the gradient to a rank's rows is the sum over the ranks of
    the gradient of each one's loss. With the average over ranks that DistributedDataParallel takes of the gradients of
    the parameters, this is the gradient of the mean of the ranks' losses: of the loss itself, where all have the same.

    Args:
        x_ND: (N, D) rows, N = 0 included, of one type on all ranks.
        equal: whether all ranks are known to have equally many; if not, they ask each other.

    Returns:
        (M, D). Without gradient, unless `equal`.
    """
    if world_size() == 1:
        return x_ND
    if equal:
        return _JointRows.apply(x_ND)  # type: ignore[no-untyped-call,no-any-return]
    counts = _gathered(torch.tensor([len(x_ND)], device=x_ND.device)).tolist()
    padded_ND = x_ND.new_zeros(max(counts), x_ND.shape[1])
    padded_ND[: len(x_ND)] = x_ND.detach()
    parts = _gathered(padded_ND).chunk(len(counts))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def joint_names(names: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The different names that the ranks have between them, sorted: the same list on every rank."""
    own = list(names)
    if world_size() == 1:
        return sorted(own)
    found: list[Any] = [None] * world_size()
    distributed.all_gather_object(found, own)
    return sorted({name for part in found for name in part})


class _JointRows(torch.autograd.Function):
    """The forward pass puts rows together, the backward pass sums their gradients over the ranks."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor) -> Tensor:
        return _gathered(x_ND.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_MD: Tensor) -> Tensor:
        total_MD = upstream_MD.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total_MD)
        return total_MD.chunk(world_size())[distributed.get_rank()]


def _gathered(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)
