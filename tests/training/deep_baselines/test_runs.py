"""Deep baselines through the real command: what they find, how they resume, what they leave, what they refuse."""

import numpy as np
import pytest
import torch

from deepspec import DeepClustering
from deepspec.axis import SpectralAxis
from deepspec.clustering import structure
from deepspec.data.cube import SpectralCube
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError
from deepspec.fit import main
from deepspec.functional import kmeans
from deepspec.models import NetworkConfig, SpectralModel
from deepspec.models.spectral_model import read_checkpoint
from deepspec.segmentation import segment_cube
from deepspec.training.callbacks import EpochLine
from deepspec.training.deep_baselines import DeepBaselineConfig, build_deep_baseline
from deepspec.training.deep_baselines.vade import responsibilities
from tests.conftest import planted_spectra
from tests.support.runs import rows_of
from tests.support.states import same_state
from tests.training.test_fit import arguments

KINDS = ("dcn", "idec", "vade")
WEIGHTS = {"dcn": 0.1, "idec": 0.1, "vade": 0.5}


def words(kind, clusters=4, pretrain=4):
    variational = ["--model.network.variational", "true"] if kind == "vade" else []
    return [
        "--model.deep_baseline.kind", kind, "--model.deep_baseline.clusters", str(clusters),
        "--model.deep_baseline.weight", str(WEIGHTS[kind]), "--model.deep_baseline.pretrain", str(pretrain),
        "--loss_schedule.gamma.value", "0", *variational,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny_shards, tmp_path_factory):
    root = tmp_path_factory.mktemp("deep_baselines")
    for kind in KINDS:
        main(arguments(tiny_shards, root / kind, *words(kind), epochs=10))
    return root


def own_clusters(model, z):
    method = model.deep_baseline
    if method.config.kind == "vade":
        return responsibilities(z, method.logits.log_softmax(0), method.means, method.log_variances).argmax(1)
    return torch.cdist(z, method.centres).argmin(1)


@pytest.mark.parametrize("kind", KINDS)
def test_planted_materials_are_found(finished, kind):
    from sklearn.metrics import adjusted_rand_score

    spectra, materials = planted_spectra(500, seed=123)
    model = DeepClustering.load(finished / kind / "model.ckpt")
    z = model.encode(torch.from_numpy(spectra))
    again = kmeans(z, 4, n_init=5, generator=torch.Generator().manual_seed(0)).labels
    for labels in (own_clusters(model, z), again):
        assert adjusted_rand_score(materials, labels) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_logged_parts_and_the_epoch_that_is_kept(finished, kind):
    rows = rows_of(finished / kind)
    scale = 2 * WEIGHTS[kind] / 64 if kind == "vade" else WEIGHTS[kind]
    for row in rows[:4]:
        assert float(row["val/target"]) == float(row["train/target"]) == np.inf
        assert row["val/clustering"] == row["train/clustering"] == ""
        assert float(row["train/total"]) == float(row["train/reconstruction"])
    for row in rows[4:]:
        for stage in ("train", "val"):
            expected = float(row[f"{stage}/reconstruction"]) + scale * float(row[f"{stage}/clustering"])
            assert float(row[f"{stage}/target"]) == pytest.approx(expected, rel=1e-5)
            assert float(row[f"{stage}/total"]) == pytest.approx(expected, rel=1e-5)
    assert read_checkpoint(finished / kind / "checkpoints" / "best.ckpt")["epoch"] >= 4
    # The clustering loss sets in without undoing what the first stage has learned.
    assert float(rows[4]["val/reconstruction"]) < 1.2 * float(rows[3]["val/reconstruction"])


def test_the_first_stage_is_a_plain_autoencoder(finished, tiny_shards, tmp_path):
    main(arguments(tiny_shards, tmp_path / "run", "--loss_schedule.gamma.value", "0", epochs=4))
    plain = [row["val/reconstruction"] for row in rows_of(tmp_path / "run")]
    for kind in KINDS:
        assert [row["val/reconstruction"] for row in rows_of(finished / kind)[:4]] == plain


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_loads_with_and_without_what_training_needs(finished, kind, monkeypatch):
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
    path = finished / kind / "model.ckpt"
    whole, plain = DeepClustering.load(path), SpectralModel.load(path)
    stored = read_checkpoint(path)["state_dict"]
    assert whole.deep_baseline.begun
    assert set(whole.state_dict()) == set(stored)
    assert same_state(dict(whole.state_dict()), dict(stored))
    assert not [name for name in plain.state_dict() if "deep_baseline" in name]
    spectra, materials = planted_spectra(600, seed=5)
    assert torch.equal(whole.encode(torch.from_numpy(spectra)), plain.encode(torch.from_numpy(spectra)))
    cube = SpectralCube.from_array(spectra.reshape(20, 30, 64), SpectralAxis.linear(0.5, 0.5, 64, "keV"))
    labels = segment_cube(cube, plain, clusters="refit", k=(4, 4)).labels.ravel()
    from sklearn.metrics import adjusted_rand_score

    assert adjusted_rand_score(materials, labels) > 0.95


def test_only_the_named_weights_may_be_more_than_a_model_needs(finished, tmp_path):
    content = read_checkpoint(finished / "dcn" / "model.ckpt")
    content["state_dict"]["foreign.weight"] = torch.zeros(1)
    torch.save(content, tmp_path / "model.ckpt")
    with pytest.raises(UserError, match="does not fit the others"):
        SpectralModel.load(tmp_path / "model.ckpt")


class StoppedError(Exception):
    """Stands in for a kill."""


@pytest.mark.parametrize(("kind", "stop"), [("dcn", 4), ("idec", 4), ("vade", 4), ("vade", 2)])
def test_resumed_ends_with_the_same_weights(kind, stop, tiny_shards, tmp_path, monkeypatch):
    more = [*words(kind, pretrain=2), "--model.network.dropout", "0.1", "--model.optimizer.patience", "0"]
    main(arguments(tiny_shards, tmp_path / "whole", *more, epochs=6))
    with monkeypatch.context() as patch:

        def start(self, trainer, pl_module):  # in epoch 2 the clusters are not there yet
            self._started = 0.0
            if trainer.current_epoch == stop:
                raise StoppedError

        patch.setattr(EpochLine, "on_train_epoch_start", start)
        with pytest.raises(StoppedError):
            main(arguments(tiny_shards, tmp_path / "stopped", *more, epochs=6))
    main(arguments(tiny_shards, tmp_path / "stopped", *more, "--ckpt_path", "last", epochs=6))
    for checkpoint in ("checkpoints/last.ckpt", "model.ckpt"):
        whole, resumed = (read_checkpoint(tmp_path / name / checkpoint)["state_dict"] for name in ("whole", "stopped"))
        assert set(whole) == set(resumed)
        for name, value in whole.items():
            assert same_state(value, resumed[name]), name
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "stopped")


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("dcn", ["--model.deep_baseline.kind", "dec"], "kind"),
        ("dcn", ["--model.deep_baseline.clusters", "1"], "model.deep_baseline.clusters: expected at least 2, got 1"),
        ("dcn", ["--model.deep_baseline.weight", "0"], "model.deep_baseline.weight: expected a finite weight above 0"),
        ("idec", ["--model.deep_baseline.weight", "-1"], "model.deep_baseline.weight: expected a finite weight above"),
        ("idec", ["--model.deep_baseline.pretrain", "-1"], "model.deep_baseline.pretrain: expected at least 0 epochs"),
        ("idec", ["--model.deep_baseline.sample", "4"], "model.deep_baseline.sample: expected more spectra than"),
        ("vade", ["--model.network.variational", "false"], "kind vade needs model.network.variational true"),
        ("idec", ["--model.network.variational", "true"], "kind idec needs model.network.variational false"),
        ("dcn", ["--loss_schedule.gamma.value", "0.01"], "dcn brings its own loss, expected loss_schedule.gamma.value"),
        ("vade", ["--loss_schedule.beta.value", "0.01"], "vade brings its own loss, expected loss_schedule.beta.value"),
        ("dcn", ["--model.deep_baseline.pretrain", "6"], "fewer epochs than trainer.max_epochs 6, got 6"),
        ("dcn", ["--model.deep_baseline.cluster", "6"], "cluster"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(tiny_shards, tmp_path, capsys, kind, more, message):
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", *words(kind), *more, epochs=6))
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_more_clusters_than_spectra_are_refused(tmp_path, capsys):
    with ShardWriter(tmp_path / "few", SpectralAxis.linear(0.5, 0.5, 64, "keV"), "uint16", seed=0) as writer:
        writer.write("train", planted_spectra(20)[0], np.zeros((20, 3), dtype=np.int32))
    more = [*words("dcn", clusters=20, pretrain=0), "--data.batch_size", "10"]
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tmp_path / "few", tmp_path / "run", *more))
    assert "20 clusters need more training spectra than the 20 there are" in capsys.readouterr().err


def test_a_run_that_is_stopped_before_the_method_begins_has_no_result(tiny_shards, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", *words("idec"), "--trainer.max_steps", "22", epochs=6))
    assert "before idec began: continue with --ckpt_path last" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.ckpt").exists()


def test_without_a_deep_baseline_nothing_is_there():
    assert build_deep_baseline(None, NetworkConfig()) is None
    model = DeepClustering(SpectralAxis.linear(0, 1, 16, "channel").to_dict(), NetworkConfig(encoder=[8]))
    assert model.deep_baseline is None
    assert model.settings["deep_baseline"] is None
    assert not [name for name in model.state_dict() if "deep" in name]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_gradient_in_both_stages(kind, begun):
    """Data parallel training waits for each."""
    torch.manual_seed(0)
    config = DeepBaselineConfig(kind, clusters=3, weight=0.1)
    network = NetworkConfig(encoder=[8], variational=kind == "vade", output="linear")
    model = DeepClustering(SpectralAxis.linear(0, 1, 64, "keV").to_dict(), network, ["sqrt"], deep_baseline=config)
    spectra = torch.from_numpy(planted_spectra(60)[0])
    if begun:
        model.deep_baseline.begin(model.encode(spectra), seed=0)
        model.deep_baseline.begun = True
    batch = {"spectra": spectra, "valid": torch.ones(60, dtype=torch.bool)}
    model.training_step(batch, 0).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    own = [parameter.grad for parameter in model.deep_baseline.parameters()]
    assert all(bool(gradient.any()) == begun for gradient in own)
    assert not model.may_leave_out


def test_infinite_weights_are_refused():
    with pytest.raises(UserError, match="got inf"):
        build_deep_baseline(DeepBaselineConfig("dcn", clusters=3, weight=float("inf")), NetworkConfig())
