"""Thinned training spectra: their law, what the network is shown and asked for, and the command."""

import numpy as np
import pytest
import torch
from scipy import stats

from deepspec.axis import SpectralAxis
from deepspec.data.cube import SpectralCube
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError
from deepspec.fit import main as fit
from deepspec.models import NetworkConfig, SpectralModel
from deepspec.segmentation import segment_cube
from deepspec.training.module import DeepClustering
from deepspec.training.thinning import check_shares, refuse_no_counts, thinned
from tests.conftest import planted_spectra
from tests.training.test_fit import arguments

AXIS = SpectralAxis.linear(0.5, 0.5, 64, "keV")
DOSE = ["dose", "sqrt", {"step": "standard"}]


@pytest.mark.parametrize(("count", "share"), [(1, 0.3), (7, 0.25), (90, 0.6)])
def test_every_count_is_kept_with_the_same_probability(count, share):
    torch.manual_seed(0)
    kept = thinned(torch.full((20_000, 2), count), share, share).numpy()
    found = np.bincount(kept.astype(int).ravel(), minlength=count + 1)
    expected = 40_000 * stats.binom.pmf(np.arange(count + 1), count, share)
    enough = expected > 5
    assert stats.chisquare(found[enough], expected[enough] * found[enough].sum() / expected[enough].sum()).pvalue > 1e-3
    assert abs(np.corrcoef(kept.T)[0, 1]) < 0.03


def test_a_share_for_each_spectrum_evenly_between_both():
    torch.manual_seed(0)
    x = torch.full((4000, 50), 1000, dtype=torch.int32)
    share = (thinned(x, 0.25, 0.75).sum(1) / 50_000).numpy()
    assert stats.kstest(share, "uniform", (0.25, 0.5)).pvalue > 1e-3
    assert (x == 1000).all()


def test_nothing_is_left_out_at_one_and_zeros_stay_zeros():
    x = torch.from_numpy(planted_spectra(50)[0])
    assert torch.equal(thinned(x, 1.0, 1.0), x.float())
    assert not thinned(x, 0.2, 0.9)[x.int() == 0].any()


@pytest.mark.parametrize("shares", [[0.5], [0.0, 1.0], [0.8, 0.5], [0.5, 1.2], [0.5, float("nan")], [0.1, 0.2, 0.3]])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(UserError, match=r"^model.thinning: expected the least and the greatest share .*\]$"):
        check_shares(shares)
    assert check_shares(None) is None


def test_what_is_no_count_is_refused():
    refuse_no_counts(torch.tensor([[0.0, 3.0]]))
    for value in (0.25, -1.0):
        with pytest.raises(
            UserError, match=rf"^model.thinning: expected counts, .* hold {value:g}: leave thinning out"
        ):
            refuse_no_counts(torch.tensor([[2.0, value]]))


def made(**options):
    torch.manual_seed(0)
    model = DeepClustering(
        AXIS.to_dict(), network=NetworkConfig(encoder=[16], latent=3, output="linear"), preprocess=DOSE, **options
    )
    model.preprocess.fit(torch.from_numpy(planted_spectra(200)[0]))
    return model


def shown_and_wanted(model, stage, **more):
    """What reaches the encoder and the loss in a step."""
    seen = {}
    model.network.encoder.register_forward_hook(lambda module, given, result: seen.update(shown=given[0]))
    objective = model.objective
    model.objective = lambda *parts: seen.update(wanted=parts[0]) or objective(*parts)
    model.objective.combine, model.objective.config = objective.combine, objective.config
    spectra = torch.from_numpy(planted_spectra(64, seed=1)[0])
    batch = {"spectra": spectra, "pixel": torch.zeros(64, 3), "valid": torch.ones(64, dtype=torch.bool), **more}
    model._step(batch, stage)
    return model.preprocess(spectra), seen["shown"], seen["wanted"]


def test_the_network_is_shown_a_thinned_spectrum_and_asked_for_the_whole():
    whole, shown, wanted = shown_and_wanted(made(thinning=[0.3, 0.3]), "train")
    assert torch.equal(wanted, whole)
    assert not torch.isclose(shown, whole).all(1).any()
    # its noise is that of 0.3 of the counts: variances of both about the mean of the material, over each other
    spectra, labels = planted_spectra(64, seed=1)
    expected = made().preprocess(torch.from_numpy(planted_spectra(4000, seed=2)[0]))
    other = planted_spectra(4000, seed=2)[1]
    own = torch.stack([expected[other == label].mean(0) for label in range(4)])[labels]
    strong = spectra.mean(0) > 10
    ratio = (shown - own)[:, strong].square().mean() / (whole - own)[:, strong].square().mean()
    assert 2 < float(ratio) < 5


def test_validation_is_of_whole_spectra():
    whole, shown, wanted = shown_and_wanted(made(thinning=[0.3, 0.3]), "val")
    assert torch.equal(shown, whole)
    assert torch.equal(wanted, whole)


def test_a_target_of_another_pixel_is_what_is_asked_for():
    for options in ({}, {"thinning": [0.5, 1.0]}):
        model = made(**options)
        target = torch.from_numpy(planted_spectra(64, seed=8)[0])
        whole, shown, wanted = shown_and_wanted(model, "train", target=target)
        assert torch.equal(wanted, model.preprocess(target))
        assert torch.equal(shown, whole) != bool(options)


def test_preprocessing_that_keeps_the_level_is_refused(tiny_shards, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        fit(arguments(tiny_shards, tmp_path / "run", "--model.thinning", "[0.5, 1]"))
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "put dose first in model.preprocess" in error
    assert not (tmp_path / "run").exists()


def test_reflectance_is_refused_by_the_command(tmp_path, capsys):
    with ShardWriter(tmp_path / "shards", AXIS, "float32", seed=0) as writer:
        values = planted_spectra(500)[0].astype(np.float32) / 7
        writer.write("train", values, np.zeros((500, 3), dtype=np.int32))
    with pytest.raises(SystemExit, match="2"):
        fit(_command(tmp_path / "shards", tmp_path / "run"))
    error = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "thinning" in line]
    assert len(error) == 1
    assert "model.thinning: expected counts, whole numbers of 0 or more" in error[0]
    assert not (tmp_path / "run" / "model.ckpt").exists()


def _command(shards, run_dir, *more):
    given = arguments(shards, run_dir, "--model.thinning", "[0.25, 1.0]", *more, epochs=6)
    given[given.index("--model.preprocess") + 1] = "[dose, {step: sqrt, inverse: poisson}, {step: standard}]"
    return given


def test_frozen_labels_at_other_exposures(tiny_shards, tmp_path):
    """The whole command, then a cube of the same materials at a half, a quarter and twice the counts."""
    fit(_command(tiny_shards, tmp_path / "run", "--clusterer.kind", "ikmeans", "--ikmeans.k_min", "4",
                 "--ikmeans.k_max", "4"))  # fmt: skip
    model = SpectralModel.load(tmp_path / "run" / "model.ckpt")
    assert DeepClustering.load(tmp_path / "run" / "model.ckpt").thinning == (0.25, 1.0)
    assert model.preprocess.invertible_to == "relative intensity"
    spectra, _ = planted_spectra(900, seed=3)
    rng = np.random.default_rng(0)
    maps = [
        segment_cube(SpectralCube.from_array(values.reshape(30, 30, 64), AXIS), model).labels
        for values in (spectra, spectra * 2, spectra / 2, rng.binomial(spectra, 0.5), rng.binomial(spectra, 0.25))
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    assert (maps[0] == maps[3]).mean() > 0.99
    assert (maps[0] == maps[4]).mean() > 0.97
