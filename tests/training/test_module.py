"""DeepClustering: encode, decode, checkpoints, the gradient to the encoder, the target."""

import pytest
import torch

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.models import NetworkConfig
from deepspec.training.epoch_log import EpochMeans
from deepspec.training.module import DeepClustering, _seed_of
from deepspec.training.objective import Weights
from tests.conftest import planted_spectra

AXIS = SpectralAxis.linear(0.5, 0.5, 64, "keV").to_dict()


def model(variational=False, preprocess=("sqrt", {"step": "standard"}), fitted=True, **network):
    torch.manual_seed(0)
    made = DeepClustering(
        AXIS,
        network=NetworkConfig(encoder=[32, 16], latent=3, output="linear", variational=variational, **network),
        preprocess=list(preprocess),
    )
    if fitted:
        made.preprocess.fit(torch.from_numpy(planted_spectra(200)[0]))
    return made


def batch(n=64, seed=1):
    spectra = torch.from_numpy(planted_spectra(n, seed=seed)[0])
    return {"spectra": spectra, "pixel": torch.zeros(n, 3), "valid": torch.ones(n, dtype=torch.bool)}


def encoder_gradient(weights, **objective):
    from deepspec.training.objective import Objective, ObjectiveConfig

    made = model()
    made.weights = made.final_weights = weights
    made.objective = Objective(ObjectiveConfig(**objective))
    torch.manual_seed(3)
    made.training_step(batch(), 0).backward()
    return torch.cat([p.grad.flatten() for p in made.network.encoder.parameters()])


def test_silhouette_gradient_reaches_the_encoder():
    """Fails on the published construction, whose silhouette is a Python number by the time it enters the loss."""
    plain = encoder_gradient(Weights())
    ours = encoder_gradient(Weights(gamma=1.0))
    published = encoder_gradient(Weights(gamma=1.0), silhouette_gradient=False)
    assert float((ours - plain).norm()) > 1e-3 * float(plain.norm())
    torch.testing.assert_close(published, plain)


def test_encode_and_decode_shapes_and_units():
    made = model(preprocess=[{"step": "rebin", "bins": 32}, "sqrt", {"step": "standard"}]).eval()
    spectra = batch()["spectra"]
    z = made.encode(spectra)
    assert z.shape == (64, 3)
    assert not z.requires_grad
    assert made.decode(z).shape == (64, 32)
    assert made.decoded_axis.channels == 32
    assert made.decoded_axis.unit == "keV"
    assert made.preprocess.invertible_to == "counts"


def test_variational_latents_are_means_and_samples_have_the_channels_of_the_decoder():
    made = model(variational=True).eval()
    spectra = batch()["spectra"]
    assert torch.equal(made.encode(spectra), made.encode(spectra))
    assert made.sample(7, torch.Generator().manual_seed(0)).shape == (7, 64)
    with pytest.raises(UserError, match="only a variational network"):
        model().sample(3)


def test_checkpoint_round_trip(tmp_path):
    made = model(variational=True).eval()
    made.clusters.set(torch.rand(4, 3))
    checkpoint = {"state_dict": made.state_dict()}
    made.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "model.ckpt")
    loaded = DeepClustering.load(tmp_path / "model.ckpt")
    spectra = batch()["spectra"]
    assert torch.equal(loaded.encode(spectra), made.encode(spectra))
    assert torch.equal(loaded.clusters.used, made.clusters.used)
    assert loaded.axis.matches(made.axis)
    assert loaded.settings == made.settings
    assert not loaded.training


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"missing\.ckpt: no such checkpoint"):
        DeepClustering.load(tmp_path / "missing.ckpt")
    text = tmp_path / "text.ckpt"
    text.write_text("not a checkpoint")
    with pytest.raises(UserError, match=r"text\.ckpt: expected a checkpoint, got a file that cannot be read"):
        DeepClustering.load(text)
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt: expected a checkpoint written by deepspec"):
        DeepClustering.load(tmp_path / "other.ckpt")


def test_padding_is_left_out_and_a_batch_of_padding_is_none():
    made = model()
    whole = batch(40)
    padded = {key: torch.cat([value, value[:24]]) for key, value in whole.items()}
    padded["valid"][40:] = False
    made._step(whole, "train")
    made._step(padded, "val")
    means = {stage: made._means[stage].values("", OneProcess()) for stage in ("train", "val")}
    assert means["val"]["reconstruction"] == pytest.approx(means["train"]["reconstruction"].item())
    padded["valid"][:] = False
    assert made._step(padded, "val") is None
    assert made._means["val"].values("", OneProcess())["reconstruction"] == means["val"]["reconstruction"]


class OneProcess:
    """A trainer whose strategy reduces over one process."""

    class strategy:
        @staticmethod
        def reduce(tensor, reduce_op):
            assert reduce_op == "sum"
            return tensor


def test_epoch_means_are_weighted_and_leave_out_what_a_step_lacks():
    means = EpochMeans()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(5.0)}, 10)
    means.add({"a": torch.tensor(4.0)}, 30)
    means.add({"a": torch.tensor(0.0), "b": torch.tensor(8.0)}, 20)
    values = means.values("x/", OneProcess())
    assert values["x/a"].item() == pytest.approx((10 * 1 + 30 * 4) / 60)
    assert values["x/b"].item() == pytest.approx((10 * 5 + 20 * 8) / 30)
    means.clear()
    assert means.values("x/", OneProcess()) == {}


def test_seeds_differ_by_place():
    places = [
        (seed, epoch, batch, rank)
        for seed in range(3)
        for epoch in range(5)
        for batch in range(20)
        for rank in range(2)
    ]
    assert len({_seed_of(*place) for place in places}) == len(places)
    assert all(0 <= _seed_of(*place) < 2**63 for place in places)
