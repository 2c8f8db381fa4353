"""Is there more than one material at all? K-means finds clusters in anything.

After SigClust (Liu, Hayes, Nobel & Marron 2008, doi:10.1198/016214508000000454): the best silhouette over K is held
against that of spectra drawn from one Gaussian cloud with the mean and covariance of the cube's own preprocessed
spectra, encoded by the same encoder and clustered in the same way. Two things differ from the paper:

- The statistic is the silhouette in the latent space. An encoder may cut any cloud into pieces; it then cuts the null
  cloud too, so that this is no evidence.
- An encoder trained on the very cube may have learnt the noise of each spectrum by heart, and with a silhouette term
  it does on few spectra: on an XRF map of a uniform film (121 pixels) it reached a silhouette of 0.98 where the null
  gives 0.58. Hence the spectra that are tested are not the cube's own: each is replaced by its part along the first
  few principal components, where differences between materials lie, plus fresh noise with the covariance of the rest.
  Materials outlive that, and what was learnt by heart does not (0.60 in that example; three planted materials went
  from 0.95 to 0.95).

A speck of dust far from everything else gives nearly every spectrum a good silhouette. The spectra with the most
leverage on the components, a twentieth, are therefore left out: the question is whether the bulk has structure.

Shapes: N spectra, D channels, L latent dimensions, Q principal components.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from deepspec.functional import TooFewPositionsError, ikmeans
from deepspec.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


SPECTRA = 1000
"""Most spectra that are tested; the cost grows with the square."""

NULL_DRAWS = 20
"""Clouds drawn from the null hypothesis: p cannot be below 1/21, which is also the bound that decides."""

MORE_DRAWS = 99
"""Clouds drawn besides where none of the first reaches the spectra but they are near: p may then be 1/120."""

FAR = 5.0
"""Standard deviations of the first clouds above their mean from which on more clouds would not change the answer: of
normal values the 21st lies so far above the other twenty once in 20,000 times (Student's t, 19 degrees of freedom)."""

REACHED = 6
"""So many clouds that reach the spectra make p > 0.05 whatever the rest of 119 gives: no more are drawn (sequential
Monte Carlo test of Besag & Clifford 1991, doi:10.1093/biomet/78.2.301)."""

FRESH_DRAWS = 3
"""Draws of fresh noise; their mean is tested, which is on the safe side."""

COMPONENTS = 9
"""Principal components kept: enough for ten materials."""

SPECTRA_PER_COMPONENT = 12
"""With fewer spectra than this for each, components would hold the noise of single spectra."""

OUTLIERS = 0.05
"""Share of the spectra left out for their leverage."""

EFFECT = 0.125
"""The silhouette must exceed that of the null cloud by this much to be called clear. Gradients and continuous mixtures
of two or three materials, which no Gaussian describes either, exceed it by 0 to 0.12; separate materials by 0.13 and
more."""

Verdict = Literal["clear", "weak", "none", "untested"]


@dataclass(frozen=True)
class Structure:
    """The result of the test."""

    verdict: Verdict
    """clear (p <= 0.05 and the silhouette exceeds the null mean by 0.125), weak (p <= 0.05), none, or untested."""
    observed: float
    """Best silhouette of the sampled spectra as they are."""
    refreshed: float
    """The same with their noise drawn anew; this is what is tested."""
    null_mean: float
    """Mean of the best silhouettes of clouds without clusters."""
    null_sd: float
    """Their standard deviation."""
    p: float
    """(1 + clouds that reach `refreshed`) / (clouds + 1)."""
    spectra: int
    """How many spectra were tested."""
    clouds: int = NULL_DRAWS
    """How many clouds were drawn."""
    border: float | None = None
    """Where clusters were found by valleys, which are then the test: the valley ratio r of the firmest border; 1 for a
    single cluster, and the other numbers are NaN. None elsewhere."""

    @property
    def _chance(self) -> str:
        """The p, with what bounds it."""
        if self.p * (self.clouds + 1) > 1.5:
            return f"p = {self.p:.2f} by {self.clouds} clouds"
        return f"p <= {self.p:.2g}: none of {self.clouds} clouds without clusters reaches it"

    @property
    def sentence(self) -> str:
        """The result for a reader."""
        if self.verdict == "untested":
            return f"structure not tested: {self.spectra} usable spectra are too few"
        if self.border is not None:
            return {
                "clear": f"clear evidence for more than one material: at the firmest border between two "
                f"clusters the density falls to {self.border:.0%} of the lower of the two peaks beside it",
                "weak": f"weak evidence for more than one material, which may grade into each other: at the firmest "
                f"border between two clusters the density falls to {self.border:.0%} of the lower of the two peaks "
                "beside it",
                "none": "no evidence for more than one material: no valley divides the spectra",
            }[self.verdict]
        start = {
            "clear": "clear evidence for more than one material",
            "weak": "weak evidence for more than one material: it may as well be a gradient or a continuous mixture, "
            "which the clusters cut where it has no border",
            "none": "no evidence for more than one material (one in a few percent of the pixels could escape this)",
        }[self.verdict]
        text = (
            f"{start}: with fresh noise {self.spectra} spectra reach a silhouette of {self.refreshed:.2f} in the "
            f"latent space, clouds without clusters {self.null_mean:.2f} ± {self.null_sd:.2f} ({self._chance})"
        )
        if self.observed - self.refreshed > EFFECT:
            text += (
                f"; the {self.observed:.2f} of the spectra as they are is mostly their noise, "
                "which the model has learnt by heart: train it on more spectra"
            )
        return text


GRADED = 0.65
"""A valley this shallow is called graded: with a single random half as judge, this is where borders are drawn."""


def judged_by_borders(borders: tuple[tuple[float, ...], ...], spectra: int) -> Structure | None:
    """The verdict of clusters that valleys divide, which need no other test; None where no valleys were looked for.

    Args:
        borders: (K, K) valley ratios.
        spectra: how many there are.
    """
    if not borders:
        return None
    k = len(borders)
    firmest = min((borders[i][j] for i in range(k) for j in range(k) if i != j), default=1.0)
    verdict: Verdict = "none" if k == 1 else "clear" if firmest < GRADED else "weak"
    return Structure(verdict, math.nan, math.nan, math.nan, math.nan, math.nan, spectra, border=firmest)


def find_structure(
    y_ND: Tensor,
    encode: Callable[[Tensor], Tensor],
    k: tuple[int, int],
    generator: torch.Generator,
    threads: int = 1,
) -> Structure:
    """Test whether spectra are more clustered than one Gaussian cloud.

    Args:
        y_ND: (N, D) preprocessed spectra, a random sample of the cube's.
        encode: from (N, D) spectra to (N, L) latent points.
        k: fewest and most clusters tried; of fewer spectra, fewer.
        generator: CPU generator.
        threads: how many clouds are worked on at once.

    Returns:
        The verdict; `untested` with fewer than 12 spectra, or than 4 for each of the fewest clusters.
    """
    components = min(COMPONENTS, len(y_ND) // SPECTRA_PER_COMPONENT)
    if components >= 1:
        leverage_N = _leading(y_ND - y_ND.mean(0), components).square().sum(1)
        y_ND = y_ND[leverage_N.argsort()[: math.ceil((1 - OUTLIERS) * len(y_ND))]]
    n, device = len(y_ND), y_ND.device
    k_max = min(k[1], n // 4)
    if components < 1 or k_max < k[0]:
        return Structure("untested", math.nan, math.nan, math.nan, math.nan, math.nan, n)
    mean_D = y_ND.mean(0)
    residual_ND = y_ND - mean_D
    leading_NQ = _leading(residual_ND, components)
    kept_ND = leading_NQ @ (leading_NQ.T @ residual_ND)

    def best_silhouette(spectra_ND: Tensor, generator: torch.Generator) -> float:
        try:
            return ikmeans(encode(spectra_ND), k[0], k_max, n_init=2, generator=generator).score
        except TooFewPositionsError:  # the latent space has collapsed
            return 0.0

    def draw(centre: Tensor, residual_ND: Tensor, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        # Random mixtures of residuals have their covariance, and need no decomposition of it.
        mixture_NN = torch.randn(n, n, generator=generator).to(device) / math.sqrt(n)
        return best_silhouette(centre + mixture_NN @ residual_ND, generator)

    seeds = torch.randint(2**62, (FRESH_DRAWS + NULL_DRAWS,), generator=generator).tolist()
    clouds = [(mean_D + kept_ND, residual_ND - kept_ND, seed) for seed in seeds[:FRESH_DRAWS]]
    clouds += [(mean_D, residual_ND, seed) for seed in seeds[FRESH_DRAWS:]]
    observed = best_silhouette(y_ND, generator)
    scores = list(in_threads(lambda cloud: draw(*cloud), clouds, threads))
    refreshed, null = statistics.mean(scores[:FRESH_DRAWS]), scores[FRESH_DRAWS:]
    if max(null) < refreshed < statistics.mean(null) + FAR * statistics.stdev(null):
        seeds = torch.randint(2**62, (MORE_DRAWS,), generator=generator).tolist()
        more = in_threads(lambda seed: draw(mean_D, residual_ND, seed), seeds, threads)
        for score in more:
            null.append(score)
            if sum(score >= refreshed for score in null) == REACHED:
                break
    p = (1 + sum(score >= refreshed for score in null)) / (len(null) + 1)
    null_mean = statistics.mean(null)
    verdict: Verdict = "none" if p > 0.05 else "clear" if refreshed - null_mean >= EFFECT else "weak"
    return Structure(verdict, observed, refreshed, null_mean, statistics.stdev(null), p, n, len(null))


def _leading(residual_ND: Tensor, components: int) -> Tensor:
    """(N, Q) left singular vectors of centred spectra: orthonormal scores on their first principal components."""
    # By the smaller of the two Gram matrices; torch.svd_lowrank would draw from the global generator.
    if residual_ND.shape[1] < len(residual_ND):
        axes_DQ = torch.linalg.eigh(residual_ND.T @ residual_ND).eigenvectors[:, -components:]
        scores_NQ: Tensor = torch.linalg.qr(residual_ND @ axes_DQ).Q
    else:
        scores_NQ = torch.linalg.eigh(residual_ND @ residual_ND.T).eigenvectors[:, -components:]
    return scores_NQ
