"""Which deep clustering baseline, as plain values that fit a YAML file and a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from deepspec.errors import UserError

Kind = Literal["dcn", "idec", "vade"]


@dataclass(frozen=True)
class DeepBaselineConfig:
    """A published clustering loss in place of the silhouette: reconstruction + weight * clustering loss."""

    kind: Kind
    """dcn (Yang et al. 2017), idec (Guo et al. 2017) or vade (Jiang et al. 2017)."""
    clusters: int
    """The number of clusters K, at least 2. Unlike the silhouette these methods do not find it."""
    weight: float
    """Of the clustering loss beside the mean squared error over spectra and channels, above 0. dcn: lambda of the
    paper. idec: gamma of the paper, which takes 0.1. vade: variance of the decoder's Gaussian, 1 in the paper."""
    pretrain: int = 50
    """Epochs of plain autoencoder before the clustering loss begins."""
    sample: int = 16384
    """The most training spectra that the clusters are initialised from, and idec's cluster frequencies estimated."""

    def check(self) -> None:
        """Check each value and say which key to change.

        Not in `__post_init__`: the parser tries the alternatives of an optional key, and would bury the message in an
        account of all of them.

        Raises:
            UserError: a value is out of range.
        """
        if self.kind not in get_args(Kind):
            raise UserError(f"model.deep_baseline.kind: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.clusters < 2:
            raise UserError(f"model.deep_baseline.clusters: expected at least 2, got {self.clusters}")
        if not 0 < self.weight < math.inf:
            raise UserError(f"model.deep_baseline.weight: expected a finite weight above 0, got {self.weight}")
        if self.pretrain < 0:
            raise UserError(f"model.deep_baseline.pretrain: expected at least 0 epochs, got {self.pretrain}")
        if self.sample <= self.clusters:
            raise UserError(
                f"model.deep_baseline.sample: expected more spectra than clusters, which are {self.clusters}, "
                f"got {self.sample}"
            )
