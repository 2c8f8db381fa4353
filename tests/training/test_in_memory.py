"""Training in memory against a loop of plain torch."""

import math

import numpy as np
import pytest
import torch

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.training.in_memory import BLOCK, build_model, encode_evenly, train_in_memory
from tests.conftest import planted_spectra

AXIS = SpectralAxis.linear(0.5, 0.5, 64, "keV")
KEYS = {
    "model": {
        "preprocess": ["sqrt", {"step": "standard", "scale": "global"}],
        "network": {"encoder": [16], "decoder": [16], "output": "linear"},
        "optimizer": {"lr": 0.01, "schedule": "cosine"},
    }
}


def spectra(n):
    return torch.from_numpy(planted_spectra(n)[0].astype(np.float32))


def test_steps_are_those_of_adam_on_a_cosine():
    x, steps = spectra(100), 25
    trained = build_model(KEYS, AXIS, len(x), seed=3)
    train_in_memory(trained, x, steps=steps, batch_size=512, min_batches=1, seed=0)
    model = build_model(KEYS, AXIS, len(x), seed=3)
    y = x.sqrt()
    y = (y - y.mean(0)) / (y - y.mean(0)).square().mean().sqrt()  # all channels by one deviation
    weights = list(model.network.parameters())
    adam = torch.optim.Adam(weights, 0.01)
    for step in range(steps):
        decoded = model.network.decode(model.network.encode(y).mean_NL)
        loss = ((decoded - y) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = 0.01 * (1 + math.cos(math.pi * step / steps)) / 2
        adam.step()
    for ours, theirs in zip(trained.network.parameters(), weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_loss_falls_over_many_passes():
    x = spectra(300)
    short, long = (
        train_in_memory(build_model(KEYS, AXIS, 300, 0), x, steps=n, batch_size=64, min_batches=4, seed=0)
        for n in (8, 200)
    )
    assert long < 0.7 * short


def test_dropout_is_drawn_by_the_seed_alone():
    x = spectra(200)
    keys = {"model": {**KEYS["model"], "network": {**KEYS["model"]["network"], "dropout": 0.2}}}
    latents = []
    for _ in range(2):
        before = torch.random.get_rng_state()
        model = build_model(keys, AXIS, 200, 1)
        train_in_memory(model, x, steps=10, batch_size=64, min_batches=1, seed=1)
        latents.append(encode_evenly(model, x))
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.rand(3)  # the second time the process is in another state
    assert torch.equal(*latents)


def test_a_latent_point_does_not_depend_on_the_spectra_beside_it():
    x = spectra(BLOCK + 300)
    model = build_model(KEYS, AXIS, len(x), 0)
    model.preprocess.fit(x)
    model.eval()
    whole = encode_evenly(model, x)
    torch.testing.assert_close(whole, model.encode(x), rtol=1e-4, atol=1e-5)
    for rows in ([0], [5, 1200, 7], list(range(1000, 1100))):
        assert torch.equal(encode_evenly(model, x[rows]), whole[rows])


def test_what_diverges_is_said():
    keys = {"model": {**KEYS["model"], "optimizer": {"lr": 1e30}}}
    with pytest.raises(UserError, match=r"training has diverged; lower model\.optimizer\.lr"):
        train_in_memory(build_model(keys, AXIS, 100, 0), spectra(100), steps=20, batch_size=64, min_batches=1, seed=0)
