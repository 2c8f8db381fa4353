"""What a deep baseline does when an epoch starts: begin the second stage, or refresh what holds for the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepspec.errors import UserError
from deepspec.models import Autoencoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch import Tensor, nn

    from deepspec.training.deep_baselines.method import DeepBaseline


def start_epoch(
    method: DeepBaseline,
    epoch: int,
    network: nn.Module,
    latents: Callable[[], Tensor],
    *,
    seed: int,
    optimisers: Iterable[torch.optim.Optimizer],
    share: Callable[[Any], Any],
) -> None:
    """Begin after the epochs of pretraining; the same on every rank.

    Every rank has the same sample and seed, and takes rank 0's result: devices of two kinds may differ in the last
    bits of the latents.

    Args:
        method: that is being trained.
        epoch: counted from 0.
        network: that it is trained with.
        latents: computes the latent points (N, L) of the sample of training spectra, on the CPU, finite.
        seed: of the run.
        optimisers: of the run.
        share: gives every rank what rank 0 has.

    Raises:
        UserError: the training split is too small for so many clusters, or training has diverged.
    """
    if epoch < method.config.pretrain:
        return
    assert isinstance(network, Autoencoder)  # build_deep_baseline has seen to it
    if not method.begun:
        z_NL = latents()
        if len(z_NL) <= method.config.clusters:
            raise UserError(
                f"model.deep_baseline.clusters: {method.config.clusters} clusters need more training spectra "
                f"than the {len(z_NL)} there are"
            )
        method.begin(z_NL, seed)
        method.begun = True
        state = {name: value.cpu() for name, value in method.state_dict().items()}
        method.load_state_dict(share(state))
        method.adapt(network)
        for optimiser in optimisers:
            _forget_unmoved(optimiser)
    method.refresh(network, latents)


def _forget_unmoved(optimiser: torch.optim.Optimizer) -> None:
    """Let ADAM begin anew with the parameters that the first stage did not move.

    It has counted their steps, with gradients of zero: its first real steps would be three times too long. The others
    go on: the first steps of an ADAM without a past undid twenty epochs of the first stage.
    """
    for parameter, state in list(optimiser.state.items()):
        if "exp_avg_sq" in state and not state["exp_avg_sq"].any():
            del optimiser.state[parameter]
