"""The response of a scan's detector and tube over those of the training, and the clusters as that scan sees them.

The ratio of two mean spectra mixes the response with the shares of the materials. Given the labels it does not:
r = sum_n x_n / sum_n N_n p_k(n), with the counts N_n of pixel n and its cluster's spectrum p. Labels and ratio are
found in turn, and the ratio is smooth, so that materials that the training has not seen hardly bend it.

Shapes: N sampled pixels, C channels, K clusters, B bins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from deepspec.functional.response import blurred, find_blur, smooth_log_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from deepspec.clustering import CountSpectra, TrainingRecord

ROUNDS = 12
"""Most rounds of labels and ratio."""

ENOUGH = 20_000
"""Fewest counts of the sample that a response is found from: its error is then about 2 %."""

SMALL = 0.05
"""Responses that differ by less than this share everywhere are not corrected."""

NOISE = 0.1
"""Likewise the logarithm of the noise."""

BLURS = (-0.3, 1.0)
"""Least and greatest difference in resolution that is corrected."""

SETTLED = 0.002
"""The ratio is settled when it changes by no more than this share anywhere."""


class Response(NamedTuple):
    """How a scan's detector and tube differ from those of the training."""

    log_C: Tensor
    """float64: logarithm of its response over the training's, a smooth curve."""
    blur: float
    """How much coarser its resolution is: half the difference of the variances of a peak, in squared channels."""

    @property
    def small(self) -> bool:
        """Whether it needs no correction."""
        return float(self.log_C.abs().max()) < SMALL and abs(self.blur) < SMALL


def find_response(
    partition: CountSpectra, record: TrainingRecord, x_NC: Tensor, positions_C: NDArray[np.float64]
) -> Response:
    """The response over the training's.

    It is sought from no difference, and from the ratio of the two scans' mean spectra; the one under which the sample
    is more likely is taken.

    Args:
        partition: the clusters of the training.
        record: their training.
        x_NC: counts of some pixels of the scan, on the model's channels.
        positions_C: of the channels.
    """
    total_C = x_NC.double().sum(0).cpu().numpy()
    mean_C = record.spectrum_C.double().cpu().numpy().clip(min=0)
    starts = [torch.zeros(len(total_C), dtype=torch.float64)]
    if total_C.sum() > 0 and mean_C.sum() > 0:
        starts.append(torch.from_numpy(smooth_log_ratio(total_C, mean_C, positions_C)))
    found = [_settled(partition, x_NC, Response(start_C, 0.0), positions_C) for start_C in starts]
    return max(found, key=lambda response: _likelihood(partition, x_NC, response))


def as_seen(
    partition: CountSpectra, record: TrainingRecord, x_NC: Tensor, positions_C: NDArray[np.float64]
) -> tuple[CountSpectra, Response | None]:
    """The clusters of a training as another scan sees them; its arguments are those of `find_response`.

    Returns:
        The clusters; and the response that they were corrected for, None where that was not needed.
    """
    response = None
    if float(x_NC.sum()) >= ENOUGH:
        found = find_response(partition, record, x_NC, positions_C)
        response = None if found.small else found
    seen = partition if response is None else partition.seen_by(*response)
    noise = noise_of(x_NC, seen.log_scores(x_NC, x_NC).argmax(1), partition.k)
    noise = noise / record.noise if record.noise > 0 else math.nan
    if noise > 0 and abs(math.log(noise)) > NOISE:
        seen = seen.seen_by(torch.zeros(x_NC.shape[1]), noise=noise)
    return seen, response


def noise_of(x_NC: Tensor, labels_N: Tensor, k: int) -> float:
    """Variance of counts about the mean composition of their cluster, over that of Poisson's law.

    Of 64 groups of channels, equally full, the lower quartile: where the composition varies least, the counts' own
    noise is what is left. It is 1 for counts, c for counts that were multiplied by c.
    """
    bins = min(64, x_NC.shape[1])
    wide_NC = x_NC.double()
    cumulated_C = wide_NC.sum(0).cumsum(0)
    middle_C = (cumulated_C - wide_NC.sum(0) / 2) / cumulated_C[-1].clamp(min=1e-300)
    bin_C = (middle_C * bins).long().clamp(0, bins - 1)
    x_NB = torch.zeros(len(x_NC), bins, dtype=torch.float64, device=x_NC.device).index_add_(1, bin_C, wide_NC)
    x_NB = x_NB[:, x_NB.sum(0) > 0]
    squares_B, degrees = torch.zeros(x_NB.shape[1], dtype=torch.float64, device=x_NC.device), 0
    for cluster in range(k):
        own_nB = x_NB[labels_N == cluster]
        if len(own_nB) < 2:
            continue
        share_B = own_nB.sum(0) / own_nB.sum()
        expected_nB = own_nB.sum(1, keepdim=True) * share_B
        part_nB = (own_nB - expected_nB).square() / (expected_nB * (1 - share_B))
        squares_B += part_nB.where(expected_nB > 0, 0).sum(0)
        degrees += len(own_nB) - 1
    return float((squares_B / degrees).quantile(0.25)) if degrees else float("nan")


def _settled(partition: CountSpectra, x_NC: Tensor, response: Response, positions_C: NDArray[np.float64]) -> Response:
    """Labels and response in turn, from a start."""
    counts_N = x_NC.sum(1).double()
    observed_C = x_NC.double().sum(0).cpu().numpy()
    plain_KC = partition.log_spectra.double().exp().cpu().numpy()
    for _ in range(ROUNDS):
        labels_N = _scores(partition, x_NC, response).argmax(1)
        counts_K = torch.bincount(labels_N, counts_N, partition.k).cpu().numpy()
        before_C, blur = response.log_C.cpu().numpy(), response.blur
        blurred_KC = blurred(plain_KC, blur)
        weight_K = counts_K / (blurred_KC @ np.exp(before_C))
        log_C = smooth_log_ratio(observed_C, weight_K @ blurred_KC, positions_C)
        # The blur of what the training saw, before the response of the scan.
        seen_C = weight_K @ blurred_KC
        freed_C = observed_C / np.exp(log_C)
        step = find_blur(freed_C * seen_C.sum() / freed_C.sum(), seen_C)
        response = Response(torch.from_numpy(log_C), float(np.clip(blur + step, *BLURS)))
        if np.abs(log_C - before_C).max() < SETTLED and abs(response.blur - blur) < SETTLED:
            break
    return response


def _scores(partition: CountSpectra, x_NC: Tensor, response: Response) -> Tensor:
    seen = partition.seen_by(*response)
    return seen.log_shares + x_NC @ seen.log_spectra.T


def _likelihood(partition: CountSpectra, x_NC: Tensor, response: Response) -> float:
    return float(_scores(partition, x_NC, response).amax(1).double().mean())
