"""Each network of an ensemble is asked alone, where clusters were found in the latents of all side by side.

Consensus K-means is made of the networks' votes. Other clusterers find clusters in the joint latents; then the same
clusterer looks at the latents of each network by itself, and each cluster that it finds is taken for the joint one that
it shares most points with. Where a network divides further it agrees; where it sees no border it does not.

Shapes: N points, S members, L latent dimensions of one, C channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from deepspec.clustering.base import Votes
from deepspec.functional.agreement import count_pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from deepspec.clustering.base import Clusterer, Partition

SomePartition = TypeVar("SomePartition", bound="Partition")


def with_votes(
    found: SomePartition,
    alone: Clusterer,
    members: int,
    z_NL: Tensor,
    k: int | tuple[int, int] | None,
    generator: torch.Generator | None,
    spectra: Tensor | None,
) -> SomePartition:
    """The same clusters with the votes of each network; those of a single network as they are.

    Args:
        found: clusters of the joint latents.
        alone: finds clusters in the latents of one network.
        members: networks S.
        z_NL: float32 (N, S L), the networks' latents side by side.
        k: as for `Clusterer.fit`, like the next two.
        generator: used after everything that `found` came of.
        spectra: float32 (N, C).
    """
    if members == 1:
        return found
    labels_N = found.assign(z_NL, spectra).cpu()
    partitions, numbers = [], []
    for own_NL in z_NL.chunk(members, 1):
        own = alone.fit(own_NL.contiguous(), k, generator, spectra)
        table = count_pairs(own.assign(own_NL, spectra).cpu(), labels_N, own.k, found.k)
        partitions.append(own)
        numbers.append(table.argmax(1))
    return replace(found, by_network=Votes(tuple(partitions), tuple(numbers)))
