"""What a deep baseline does when an epoch starts: begin the second stage, or refresh what holds for the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from deepspec.errors import UserError
from deepspec.models import Autoencoder
from deepspec.training.encoding import encode_sample, refuse_diverged

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.training.deep_baselines.method import DeepBaseline
    from deepspec.training.module import DeepClustering


def start_epoch(method: DeepBaseline, model: DeepClustering) -> None:
    """Begin after the epochs of pretraining; the same on every rank.

    Every rank has the same sample and seed, and takes rank 0's result: devices of two kinds may differ in the last
    bits of the latents.

    Raises:
        UserError: the training split is too small for so many clusters, or training has diverged.
    """
    if model.current_epoch < method.config.pretrain:
        return
    network = model.network
    assert isinstance(network, Autoencoder)  # build_deep_baseline has seen to it
    if not method.begun:
        z_NL = _latents_of_sample(method, model)
        if len(z_NL) <= method.config.clusters:
            raise UserError(
                f"model.deep_baseline.clusters: {method.config.clusters} clusters need more training spectra "
                f"than the {len(z_NL)} there are"
            )
        method.begin(z_NL, model.seed)
        method.begun = True
        state = {name: value.cpu() for name, value in method.state_dict().items()}
        method.load_state_dict(model.trainer.strategy.broadcast(state))
        method.adapt(network)
        for optimiser in model.trainer.optimizers:
            _forget_unmoved(optimiser)
    method.refresh(network, lambda: _latents_of_sample(method, model))


def _forget_unmoved(optimiser: torch.optim.Optimizer) -> None:
    """Let ADAM begin anew with the parameters that the first stage did not move.

    It has counted their steps, with gradients of zero: its first real steps would be three times too long. The others
    go on: the first steps of an ADAM without a past undid twenty epochs of the first stage.
    """
    for parameter, state in list(optimiser.state.items()):
        if not state["exp_avg_sq"].any():
            del optimiser.state[parameter]


def _latents_of_sample(method: DeepBaseline, model: DeepClustering) -> Tensor:
    """Latents (N, L) of the sample, on the CPU, in evaluation mode."""
    spectra = model.trainer.datamodule.sample("train", method.config.sample, seed=model.seed)  # type: ignore[attr-defined]
    z_NL = encode_sample(model, spectra)
    refuse_diverged(z_NL)
    return z_NL
