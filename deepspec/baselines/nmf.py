"""Non-negative matrix factorisation: spectra as sums of non-negative component spectra.

Lee & Seung 1999, doi:10.1038/44565; solved by coordinate descent (Cichocki & Phan 2009,
doi:10.1587/transfun.E92.A.708).

Shapes: S spectra of the sample, N spectra, D channels, L components.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deepspec.baselines.model import Embedding
from deepspec.models.autoencoder import Latent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ITERATIONS = 500
"""Most iterations of the fit."""

SWEEPS = 1000
"""Most sweeps over the components when spectra are encoded."""

TOLERANCE = 1e-6
"""A sweep that moves no weight by more than this part of the largest one is the last."""


class NonNegativeComponents(Embedding):
    """Weights of non-negative component spectra of unit length, so that distances of weights mean something.

    Args:
        y_SD: preprocessed spectra to fit on, at least 0.
        components: L, at most S and D.
        seed: of what is random in the start.

    Attributes:
        converged: whether the fit settled within `ITERATIONS`.
        residual: share of the sum of squares of the sample that is not reproduced.
    """

    components_LD: Tensor

    def __init__(self, y_SD: NDArray[np.float32], components: int, seed: int) -> None:
        super().__init__()
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning

        nmf = NMF(components, init="nndsvda", max_iter=ITERATIONS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` says it
            nmf.fit(y_SD)
        self.converged = bool(nmf.n_iter_ < ITERATIONS)
        self.residual = float(nmf.reconstruction_err_**2 / (y_SD.astype(float) ** 2).sum())
        components_LD = torch.from_numpy(nmf.components_).float()
        length_L1 = components_LD.norm(dim=1, keepdim=True)
        # A component that fell to nothing stays zero: its weights are then zero too.
        self.register_buffer("components_LD", components_LD / length_L1.masked_fill(length_L1 == 0, 1))

    @property
    def latent(self) -> int:
        """L."""
        return len(self.components_LD)

    def encode(self, x_NC: Tensor) -> Latent:
        """Non-negative least-squares weights (N, L); values below 0 count as 0."""
        return Latent(non_negative_weights(x_NC.clamp_min(0), self.components_LD), None)

    def decode(self, z_NL: Tensor) -> Tensor:
        """Weights times components."""
        return z_NL @ self.components_LD


def non_negative_weights(y_ND: Tensor, components_LD: Tensor) -> Tensor:
    """Minimise |y - w H|^2 over w >= 0 by coordinate descent over the components.

    Args:
        y_ND: (N, D) spectra.
        components_LD: (L, D) of unit length, or zero.

    Returns:
        (N, L) weights.
    """
    gram_LL = components_LD @ components_LD.T
    target_NL = y_ND @ components_LD.T
    weights_LN = target_NL.T.clamp_min(0).contiguous()
    least = TOLERANCE * float(weights_LN.max()) if weights_LN.numel() else 0.0
    for _ in range(SWEEPS):
        moved = 0.0
        for component in range(len(gram_LL)):
            if gram_LL[component, component] == 0:
                continue
            before_N = weights_LN[component].clone()
            gradient_N = target_NL[:, component] - gram_LL[component] @ weights_LN
            weights_LN[component] = (before_N + gradient_N / gram_LL[component, component]).clamp_min(0)
            moved = max(moved, float((weights_LN[component] - before_N).abs().max()))
        if moved <= least:
            break
    return weights_LN.T
