"""What is minimised: reconstruction + beta MMD + gamma silhouette loss (equations 1, 3, 4 and 6), and further terms.

Shapes: N spectra of a batch, C channels, L latent dimensions, S members of an ensemble.

Under several processes every rank computes these on its own batch, as one process would; MMD and silhouette are no
means over samples, so the average over ranks is not the loss of the joined batch. `global_batch` makes it that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.training.loss_terms import RECONSTRUCTION, SILHOUETTE, LossInput, LossParts, OwnBatch, Weights, loss_terms
from deepspec.training.objective_config import MMDConfig, ObjectiveConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from deepspec.training.deep_baselines.method import DeepBaseline

__all__ = ["LossParts", "MMDConfig", "Objective", "ObjectiveConfig", "Weights"]


class Objective:
    """Computes the loss of a batch; without state besides its configuration.

    The parts of an ensemble are the means of those of its members, each of which has a latent space of its own.

    Args:
        config: what the parts are.
        members: networks S that are trained side by side.
        deep_baseline: a published clustering loss that joins the terms, where there is one.
    """

    def __init__(self, config: ObjectiveConfig, members: int = 1, deep_baseline: DeepBaseline | None = None) -> None:
        self.config, self.members = config, members
        self._deep_baseline = deep_baseline

    def __call__(
        self,
        x_NC: Tensor,
        reconstruction_NC: Tensor,
        mean_NL: Tensor,
        z_NL: Tensor,
        now: Weights,
        final: Weights,
        own: OwnBatch | None = None,
    ) -> LossParts:
        """The loss parts of a batch.

        Args:
            x_NC: preprocessed spectra that the reconstruction is held against: those that were encoded, or others in
                their place (`data.target`, `model.thinning`).
            reconstruction_NC: the decoder's; of an ensemble (S, N, C).
            mean_NL: latent means, which are clustered; may be of more spectra than `x_NC`, those of other ranks. Those
                of the members of an ensemble stand side by side, (N, S L).
            z_NL: latents that were decoded (drawn, for a variational network), which are held against the prior; as
                many as means.
            now: the weights of `total`.
            final: the weights when the schedules are done, of `target`. A term is computed if it has a weight now or
                then, so that its curve does not begin when its weight does.
            own: what the network saw on this rank; a deep baseline needs it.

        Returns:
            Named parts. A batch that cannot be clustered (equal spectra, too few) has no silhouette part: its total
            goes without, and nothing becomes NaN.

        Raises:
            UserError: a term of another package gives something else than a scalar.
        """
        batch = LossInput(x_NC, reconstruction_NC, mean_NL, z_NL, self.config, self.members, own)
        terms: dict[str, Tensor] = {}
        for name in final.terms:
            if name == RECONSTRUCTION or now[name] > 0 or final[name] > 0:
                value = loss_terms[name](batch)
                if value is not None:
                    if value.ndim != 0:
                        raise UserError(f"loss term {name!r}: expected a scalar, got shape {tuple(value.shape)}")
                    terms[name] = value
        total = self._sum(terms, now)
        target = self._sum({name: value.detach() for name, value in terms.items()}, final)
        parts = LossParts(total, target, terms, batch.numbers)
        if self._deep_baseline is not None and own is not None:
            parts = self._deep_baseline.join(parts, own)
        return parts

    def combine(self, parts: LossParts, weights: Weights) -> Tensor:
        """The total that the parts have under other weights; no gradient."""
        return self._sum({name: value.detach() for name, value in parts.terms.items()}, weights)

    def _sum(self, terms: Mapping[str, Tensor], weights: Weights) -> Tensor:
        total = terms[RECONSTRUCTION]
        if weights[RECONSTRUCTION] != 1:
            total = weights[RECONSTRUCTION] * total
        for name, value in terms.items():
            weight = weights[name]
            if name == RECONSTRUCTION or weight == 0:
                continue
            if name == SILHOUETTE and self.config.total == "published":
                total = total * (1 + weight * value) / (1 + weight)
            else:
                total = total + weight * value
        return total
