"""bf16-mixed and compiled networks against plain float32 ones: nothing changes but speed and rounding."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from deepspec import DeepClustering
from deepspec.fit import main
from deepspec.training.module import Weights
from tests.conftest import planted_spectra
from tests.support.runs import rows_of
from tests.training.test_fit import arguments
from tests.training.test_module import batch, model

QUICK = ["--model.optimizer.lr", "0.01"]


def labels_of(run_dir):
    trained = DeepClustering.load(run_dir / "model.ckpt")
    return trained.clusters.assign(trained.encode(torch.from_numpy(planted_spectra(400, seed=9)[0])))


def test_half_precision_finds_the_clusters_of_single_precision(tiny_shards, tmp_path):
    """Losses within 3 %, K the same, nothing NaN, and float32 weights in the checkpoint."""
    both = [*QUICK, "--loss_schedule.beta", "{kind: constant, value: 0.01}"]
    main(arguments(tiny_shards, tmp_path / "single", *both, epochs=6))
    main(arguments(tiny_shards, tmp_path / "half", *both, "--trainer.precision", "bf16-mixed", epochs=6))
    single, half = rows_of(tmp_path / "single"), rows_of(tmp_path / "half")
    assert all(math.isfinite(float(value)) for row in half for value in row.values())
    assert half != single, "half precision had no effect"
    for name in ("val/reconstruction", "val/target", "val/silhouette", "val/mmd", "ikmeans/silhouette"):
        assert float(half[-1][name]) == pytest.approx(float(single[-1][name]), rel=0.03, abs=0.01), name
    assert half[-1]["ikmeans/k"] == single[-1]["ikmeans/k"] == "4.0"
    assert adjusted_rand_score(labels_of(tmp_path / "single"), labels_of(tmp_path / "half")) > 0.99
    state = torch.load(tmp_path / "half" / "model.ckpt", weights_only=True)["state_dict"]
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    assert {value.dtype for value in tensors if value.is_floating_point()} <= {torch.float32, torch.float64}


@pytest.mark.parametrize("variational", [False, True])
def test_the_objective_works_in_single_precision_within_half_precision(variational):
    """Only the network's layers are rounded: the parts follow from its outputs exactly."""
    made = model(variational=variational)
    made.weights = made.final_weights = Weights(beta=0.5, gamma=0.5)
    seen = {}
    objective = made.objective

    def record(*tensors):
        seen["dtypes"] = {x.dtype for x in tensors[:4]}
        seen["autocast"] = torch.is_autocast_enabled("cpu")
        return objective(*tensors)

    made.objective = record
    record.config, record.combine = objective.config, objective.combine
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = made.training_step(batch(), 0)
    assert seen == {"dtypes": {torch.float32}, "autocast": False}
    loss.backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in made.network.parameters())


needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler, there is no g++"
)


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # by torch's own compiler
def test_a_compiled_network_trains_to_the_same_weights(tiny_shards, tmp_path):
    main(arguments(tiny_shards, tmp_path / "plain", *QUICK, epochs=2))
    main(arguments(tiny_shards, tmp_path / "compiled", *QUICK, "--model.compile", "true", epochs=2))
    plain, compiled = (
        torch.load(tmp_path / name / "model.ckpt", weights_only=True)["state_dict"] for name in ("plain", "compiled")
    )
    assert list(plain) == list(compiled)
    for key in (key for key, value in plain.items() if isinstance(value, torch.Tensor)):
        torch.testing.assert_close(compiled[key], plain[key], rtol=1e-3, atol=1e-4)
    for row, other in zip(rows_of(tmp_path / "compiled"), rows_of(tmp_path / "plain"), strict=True):
        for name in ("train/reconstruction", "val/target", "val/silhouette", "ikmeans/silhouette"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-4), name


@pytest.mark.slow
def test_without_a_compiler_compiling_is_refused_in_one_line(tiny_shards, tmp_path):
    options = arguments(tiny_shards, tmp_path / "run", "--model.compile", "true", epochs=1)
    environment = {**os.environ, "CXX": "no-such-compiler", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "cache")
    command = [sys.executable, "-m", "deepspec.fit", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "model.compile: torch cannot compile for cpu here, which takes a C++ compiler" in done.stderr
    assert "Traceback" not in done.stderr
