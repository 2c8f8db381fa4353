"""The clusters of a fitted model: their centres in the latent space, kept where checkpoints and devices find them.

N spectra, L latent dimensions, K clusters in use.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK_DISTANCES = 2**22  # distances held at a time by `assign`: 16 MiB


class Clusters(nn.Module):
    """Up to `k_max` centres. Buffers keep their shape whatever K is, so checkpoints and ranks always agree.

    >>> clusters = Clusters(latent=1, k_max=4)
    >>> clusters.set(torch.tensor([[0.0], [10.0]]))
    >>> clusters.assign(torch.tensor([[9.0], [5.0]]))
    tensor([1, 0])

    Args:
        latent: dimension L of the latent space, at least 1.
        k_max: the most clusters that can ever be in use, at least 1.

    Attributes:
        centres: buffer, float32 (k_max, L); rows from `count` on are zero.
        count: buffer, int64 (): number K of clusters in use, 0 as long as none were set.

    Raises:
        ValueError: `latent` or `k_max` is below 1.
    """

    centres: Tensor
    count: Tensor

    def __init__(self, latent: int, k_max: int) -> None:
        super().__init__()
        if latent < 1 or k_max < 1:
            raise ValueError(f"clusters need latent >= 1 and k_max >= 1; got latent={latent}, k_max={k_max}")
        self.register_buffer("centres", torch.zeros(k_max, latent))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def set(self, centres_KL: Tensor) -> None:
        """Replace the centres, in this order: label k is row k.

        Args:
            centres_KL: float (K, L), K from 1 to k_max, finite, on any device.

        Raises:
            ValueError: another shape, too many centres, or one that is not finite.
        """
        k_max, latent = self.centres.shape
        if centres_KL.ndim != 2 or centres_KL.shape[1] != latent:
            raise ValueError(f"expected centres of shape (K, {latent}); got {tuple(centres_KL.shape)}")
        k = len(centres_KL)
        if not 1 <= k <= k_max:
            raise ValueError(f"expected 1 to k_max={k_max} centres; got {k}")
        if not centres_KL.isfinite().all():
            raise ValueError("centres must be finite; got NaN or infinity")
        self.centres[:k] = centres_KL
        self.centres[k:] = 0
        self.count.fill_(k)

    @property
    def used(self) -> Tensor:
        """The centres in use, float (K, L), a view of the buffer.

        Raises:
            RuntimeError: no centres were set.
        """
        k = int(self.count)
        if k == 0:
            raise RuntimeError("there are no clusters yet: fit the model, or call set(centres)")
        return self.centres[:k]

    def distances(self, z_NL: Tensor) -> Tensor:
        """Euclidean distance (N, K) of each latent point to each centre in use, in the centres' dtype.

        Raises:
            ValueError: `z_NL` is not (N, L).
            RuntimeError: no centres were set.
        """
        used = self.used
        if z_NL.ndim != 2 or z_NL.shape[1] != used.shape[1]:
            raise ValueError(f"expected latent points of shape (N, {used.shape[1]}); got {tuple(z_NL.shape)}")
        # Without the matrix product, whose cancellation would decide between centres that are almost equally near.
        return torch.cdist(z_NL.to(used.dtype), used, compute_mode="donot_use_mm_for_euclid_dist")

    @torch.no_grad()
    def assign(self, z_NL: Tensor) -> Tensor:
        """Label (N,), int64, of the nearest centre in use: 0 to K - 1, the lowest of equally near ones.

        A point with a NaN is near nothing and gets -1. Memory is bounded beside the labels, so N may be a whole cube.

        Raises:
            ValueError: `z_NL` is not (N, L).
            RuntimeError: no centres were set.
        """
        rows = max(1, BLOCK_DISTANCES // len(self.used))
        labels = []
        for block in torch.split(z_NL, rows):
            nearest, label = self.distances(block).min(dim=1)
            labels.append(label.masked_fill_(nearest.isnan(), -1))
        return torch.cat(labels)


def canonical_order(labels_N: Tensor, centres_KL: Tensor) -> Tensor:
    """Indices (K,), on the CPU, that sort clusters by falling size, and equally large ones by their centres.

    >>> canonical_order(torch.tensor([1, 1, 0, 2, 2]), torch.tensor([[0.0], [9.0], [5.0]])).tolist()
    [2, 1, 0]
    """
    sizes = torch.bincount(labels_N, minlength=len(centres_KL)).tolist()
    keys = [(-size, centre) for size, centre in zip(sizes, centres_KL.tolist(), strict=True)]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))
