"""Train a model on spectra in memory: no files, no trainer, and no state of the process is changed.

It is for few spectra and many fits, as in a search of scikit-learn's: of a `fit` it has the network, the preprocessing,
the loss and the optimiser, and leaves out validation, logs, checkpoints and schedules of the loss.

Shapes: N spectra, C channels, D preprocessed channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepspec.errors import UserError, did_you_mean
from deepspec.models import NetworkConfig
from deepspec.renamed import deprecated, in_new_words
from deepspec.schedules import Schedule
from deepspec.training.module import DeepClustering
from deepspec.training.objective import ObjectiveConfig
from deepspec.training.optimiser import LearningRate, OptimizerConfig, build_optimiser
from deepspec.training.step_threads import SMALL_STEP, operations

if TYPE_CHECKING:
    from torch import Tensor

    from deepspec.axis import SpectralAxis

BLOCK = 1024
"""Spectra that are preprocessed and encoded at a time. Fewer are filled up to so many: a matrix product of another size
may round otherwise, and what a spectrum becomes must not depend on those beside it."""

_KEYS = ("preprocess", "network", "objective", "optimizer", "max_clusters", "statistics_rows")


def build_model(keys: Mapping[str, Any], axis: SpectralAxis, spectra: int, seed: int) -> DeepClustering:
    """A model by the keys of an experiment, with its initial weights.

    Args:
        keys: those of the YAML file; of `model` the ones that training in memory knows.
        axis: of the spectra.
        spectra: how many there are.
        seed: of the weights.

    Raises:
        UserError: a key is unknown, or asks for what only `fit` does.
    """
    keys = in_new_words(keys, deprecated)
    _refuse_more_than_reconstruction(keys)
    given = dict(keys.get("model") or {})
    for name in given:
        if name not in _KEYS:
            raise UserError(
                f"experiment: model.{name} is for `fit` and `deepspec.train`, expected of model some of "
                f"{', '.join(_KEYS)}{did_you_mean(name, _KEYS)}"
            )
    configs: dict[str, Any] = {}
    for name, kind in (("network", NetworkConfig), ("objective", ObjectiveConfig), ("optimizer", OptimizerConfig)):
        part = dict(given.pop(name, None) or {})
        known = [field.name for field in fields(kind)]
        for key in part:
            if key not in known:
                raise UserError(f"experiment: no key model.{name}.{key}{did_you_mean(key, known, otherwise='list')}")
        configs[name] = kind(**part)
    if configs["network"].variational:
        raise UserError("experiment: expected a plain autoencoder, got model.network.variational: use deepspec.train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DeepClustering(axis.to_dict(), training_spectra=spectra, **given, **configs)
    model.seed = seed
    return model


def _refuse_more_than_reconstruction(keys: Mapping[str, Any]) -> None:
    for name, schedule in (keys.get("loss_schedule") or {}).items():
        value = schedule.value if isinstance(schedule, Schedule) else (schedule or {}).get("value", 0)
        if name == "terms" or value:
            raise UserError(
                f"experiment: expected the reconstruction alone as the loss, got loss_schedule.{name}: use "
                "deepspec.train, or give an experiment such as xrf or hyperspectral"
            )


def train_in_memory(
    model: DeepClustering,
    x_NC: Tensor,
    *,
    steps: int,
    batch_size: int,
    min_batches: int,
    seed: int,
    device: str = "cpu",
) -> float:
    """Fit the preprocessing and the network; the model is left on the device, in evaluation mode.

    Args:
        model: with its initial weights; changed.
        x_NC: raw spectra (N, C), N of 2 or more, finite.
        steps: of the optimiser.
        batch_size: spectra of a batch, at most; none is smaller than the others but where N is below `batch_size`.
        min_batches: of an epoch, after which a plateau of the loss is looked for.
        seed: of the order of the spectra.
        device: where to compute.

    Returns:
        Mean loss of the last epoch, in units of the preprocessed spectra.

    Raises:
        UserError: the spectra do not suit the preprocessing, or training has diverged.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(x_NC))[: model.statistics_rows]
    model.preprocess.fit(x_NC[torch.from_numpy(np.sort(chosen))])
    model.to(device)
    y_ND = torch.cat([model.preprocess(part.to(device)) for part in torch.split(x_NC, BLOCK)])
    size = min(batch_size, len(y_ND))
    per_pass = len(y_ND) // size
    epoch = max(per_pass, min_batches)
    optimiser = build_optimiser(model.parameters(), model.optimizer, model.network.members)
    rate = LearningRate(optimiser, model.optimizer, model.scheduler, steps)
    model.train()
    # Dropout draws from the process' own generators.
    with _one_thread_if_small(model, size, device), torch.random.fork_rng(devices=[] if device == "cpu" else None):
        torch.manual_seed(seed)
        losses: list[Tensor] = []
        order_N = torch.empty(0, dtype=torch.int64)
        for step in range(steps):
            place = step % per_pass
            if place == 0:
                order_N = torch.from_numpy(rng.permutation(len(y_ND))).to(device)
            batch_ND = y_ND[order_N[place * size : (place + 1) * size]]
            z_NL = model.network.encode(batch_ND).mean_NL
            decoded_ND = model.network.reconstructions(z_NL)
            loss = model.objective(batch_ND, decoded_ND, z_NL, z_NL, model.weights, model.final_weights).total
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if rate.is_cosine:
                rate.before_step(step)
            optimiser.step()
            losses.append(loss.detach())
            if len(losses) == epoch or step == steps - 1:
                last = float(torch.stack(losses).mean())
                if not np.isfinite(last):
                    raise UserError("the loss is no longer finite: training has diverged; lower model.optimizer.lr")
                rate.after_epoch(last)
                losses = []
    model.eval()
    return last


@contextmanager
def _one_thread_if_small(model: DeepClustering, rows: int, device: str) -> Iterator[None]:
    """One thread of torch for small steps on the CPU, as `StepThreads` has it for a trainer."""
    before = torch.get_num_threads()
    if device == "cpu" and operations(model, rows) < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def encode_evenly(model: DeepClustering, x_NC: Tensor) -> Tensor:
    """Latent points (N, L), on the CPU: of a spectrum the same whatever others are beside it; see `BLOCK`."""
    device = next(model.parameters()).device
    parts = []
    for part in torch.split(x_NC, BLOCK):
        filled = part if len(part) == BLOCK else torch.cat([part, part[:1].expand(BLOCK - len(part), -1)])
        parts.append(model.encode(filled.to(device))[: len(part)].cpu())
    return torch.cat(parts)
