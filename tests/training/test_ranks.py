"""Several ranks against one process: gathered losses, whole runs through the real command, and ranks that die."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from deepspec import DeepClustering
from deepspec.axis import SpectralAxis
from deepspec.data.shards.writer import ShardWriter
from deepspec.fit import main
from deepspec.models import NetworkConfig
from deepspec.training.epoch_log import EpochMeans
from deepspec.training.objective import MMDConfig, ObjectiveConfig, Weights
from deepspec.training.ranks import joint_names, joint_rows
from tests.conftest import planted_spectra
from tests.metrics.two_ranks import on_two_ranks
from tests.support.runs import rows_of
from tests.support.states import same_state
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
BATCH = 48


class OfOneRank(torch.nn.Module):
    """A training step as the forward pass of a module, which is what Lightning hands to DistributedDataParallel."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model.training_step(batch, 0)


def joint_model(**objective):
    torch.manual_seed(0)
    axis = SpectralAxis.linear(0.5, 0.5, 64, "keV").to_dict()
    network = NetworkConfig(encoder=[32, 16], latent=3, output="linear")
    options = ObjectiveConfig(global_batch=True, **objective)
    made = DeepClustering(axis, network=network, preprocess=["sqrt", "unit"], objective=options)
    made.weights = made.final_weights = Weights(beta=0.5, gamma=0.5)
    return made


def joint_batch(rows=slice(None), valid=2 * BATCH):
    spectra = torch.from_numpy(planted_spectra(2 * BATCH, seed=1)[0])
    return {"spectra": spectra[rows], "valid": torch.arange(2 * BATCH)[rows] < valid}


def gradients(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.network.parameters()])


OBJECTIVES = [
    {},
    {"total": "published", "silhouette_average": "clusters"},
    {"mmd": MMDConfig(kernel="imq", prior_samples=60)},
]


def of_a_rank(rank):
    """Everything that two ranks are compared with one process in."""
    own = slice(rank * BATCH, (rank + 1) * BATCH)
    found = {"losses": [], "gradients": []}
    for objective in OBJECTIVES:
        model = joint_model(**objective)
        torch.manual_seed(rank)  # what a rank draws for itself before must not matter
        parallel = DistributedDataParallel(OfOneRank(model))  # must live on through the backward pass
        loss = parallel(joint_batch(own))
        loss.backward()
        found["losses"].append(loss.detach())
        found["gradients"].append(gradients(model))
    # Validation: 60 of 96 rows are valid, and then 40: of the second rank 12, and none
    for valid in (60, 40):
        model = joint_model()
        with torch.no_grad():
            model._step(joint_batch(own, valid), "val")
        found[valid] = model._means["val"].values("", of_strategy(model))
    uneven = torch.full((3 * rank, 2), float(rank))
    found["uneven"] = joint_rows(uneven, equal=False)
    found["none"] = joint_rows(uneven[:0], equal=False)
    found["names"] = joint_names([("a",), ("b", "c")] if rank else [("a",), ("c",)])
    means = EpochMeans()
    if rank:
        means.add({"a": torch.tensor(2.0)}, 10)
    found["means"] = means.values("x/", of_strategy(joint_model()))
    return found


def of_strategy(model):
    """A trainer whose strategy sums over the ranks there are."""

    def reduce(tensor, reduce_op):
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(tensor)
        return tensor

    return types.SimpleNamespace(strategy=types.SimpleNamespace(reduce=reduce, root_device=model.device))


@pytest.mark.ddp
def test_two_ranks_have_the_losses_and_gradients_of_the_joint_batch():
    """Value and gradient; a rank without valid rows, or without a name to log, takes part and hangs nobody."""
    ranks = on_two_ranks(of_a_rank)
    for number, objective in enumerate(OBJECTIVES):
        model = joint_model(**objective)
        loss = model.training_step(joint_batch(), 0)
        loss.backward()
        joint = sum(rank["losses"][number] for rank in ranks) / 2
        torch.testing.assert_close(joint, loss.detach(), rtol=1e-5, atol=1e-7)
        expected = gradients(model)
        for rank in ranks:
            torch.testing.assert_close(rank["gradients"][number], expected, rtol=1e-4, atol=1e-6)
        # The silhouette is there, and is felt
        alone = joint_model(**objective)
        alone.weights = Weights(beta=0.5)
        alone.training_step(joint_batch(), 0).backward()
        assert float((gradients(alone) - expected).norm()) > 1e-2 * float(expected.norm())
    for valid in (60, 40):
        model = joint_model()
        with torch.no_grad():
            model._step(joint_batch(valid=valid), "val")
        expected = model._means["val"].values("", of_strategy(model))
        assert {"reconstruction", "mmd", "silhouette", "k", "target"} <= set(expected)
        for rank in ranks:
            assert set(rank[valid]) == set(expected)
            for name, value in expected.items():
                torch.testing.assert_close(rank[valid][name], value, rtol=1e-5, atol=1e-6)
    for rank in ranks:
        assert rank["uneven"].tolist() == [[1.0, 1.0]] * 3
        assert rank["none"].shape == (0, 2)
        assert rank["names"] == [("a",), ("b", "c"), ("c",)]
        assert rank["means"] == {"x/a": 2.0}


def test_one_rank_gathers_nothing():
    x = torch.rand(3, 2)
    assert joint_rows(x, equal=True) is x
    assert joint_names([("b",), ("a",)]) == [("a",), ("b",)]


# The real command

OPTIONS = [
    "--model.network.encoder", "[32, 16]", "--model.network.decoder", "[32]", "--model.network.output", "linear",
    "--model.preprocess", "[sqrt, {step: standard}]", "--trainer.accelerator", "cpu", "--ikmeans.sample", "300",
]  # fmt: skip

TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]


def arguments(shards, run_dir, *more):
    return ["--data.root", str(shards), "--run_dir", str(run_dir), *OPTIONS, *more]


def start(arguments, **options):
    """The command in a session of its own, with threads as one of several on this machine has."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "deepspec.fit", *arguments],
        env=environment, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


@pytest.mark.ddp
@pytest.mark.slow
def test_two_ranks_train_as_one_process_with_the_joint_batch(tiny_shards, tmp_path):
    """An epoch is one step of all rows, so that both have the same rows in it, in another order.

    The silhouette has no weight in training, because K-means seeds depend on the order; MMD, reconstruction and all of
    validation do not. The 400 validation rows fit in rank 0's first batch, so rank 1 has none.
    """
    more = [
        "--trainer.max_epochs", "12", "--model.objective.global_batch", "true", "--model.optimizer.lr", "0.01",
        "--loss_schedule.beta", "{kind: constant, value: 0.02}", "--model.objective.mmd.bandwidths", "[1.0]",
        "--loss_schedule.gamma", "{kind: step, value: 0.01, start: 12}",
        "--trainer.callbacks+=tests.training.rank_state.RankState",
    ]  # fmt: skip
    main(arguments(tiny_shards, tmp_path / "one", *more, "--data.batch_size", "1500"))
    process = start(arguments(tiny_shards, tmp_path / "two", *more, *TWO, "--data.batch_size", "750"))
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == "", "no warnings"
    assert printed.count("epoch 12/12") == 1
    expected, found = (rows_of(tmp_path / name) for name in ("one", "two"))
    assert [set(row) for row in found] == [set(row) for row in expected]
    unequal = {"train/silhouette", "train/k", "train/target"}
    for row, other in zip(found, expected, strict=True):
        # What K-means finds in latents without clusters hangs on their last digit
        settled = int(row["epoch"]) >= 10
        for name in (name for name in set(row) - unequal if settled or not name.startswith("ikmeans/")):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=2e-4, abs=2e-6), name
    one, two = (DeepClustering.load(tmp_path / name / "model.ckpt") for name in ("one", "two"))
    torch.testing.assert_close(two.clusters.used, one.clusters.used, rtol=1e-3, atol=1e-4)
    states = [torch.load(tmp_path / "two" / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert states[0].keys() == states[1].keys()
    assert same_state(states[0], states[1]), "ranks have come apart"
    assert int(states[0]["clusters.count"]) == int(found[-1]["ikmeans/k"].split(".")[0])


@contextlib.contextmanager
def training_on_two_ranks(shards, tmp_path):
    """A run of two ranks in its third epoch: the process of rank 0, and the number of rank 1's."""
    options = [*TWO, "--data.batch_size", "64", "--trainer.max_epochs", "100000"]
    process = start(arguments(shards, tmp_path / "run", *options))
    try:
        metrics = tmp_path / "run" / "metrics.csv"
        until(lambda: metrics.is_file() and len(rows_of(tmp_path / "run")) >= 3)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        yield process, int(children[0])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("victim", "signum", "status", "message"),
    [
        (
            "child",
            signal.SIGKILL,
            1,
            r"local rank 1 \(process \d+\) was ended by signal 9 \(SIGKILL: out of memory\?\)",
        ),
        ("parent", signal.SIGKILL, -9, r"rank 0 \(process \d+\) is gone, so its rank 1 ends"),
        ("parent", signal.SIGTERM, 143, r"ended by signal 15 \(SIGTERM\); --ckpt_path last continues"),
    ],
    ids=["child killed", "parent killed", "asked to end"],
)
def test_a_rank_that_dies_ends_the_run_with_a_message(tiny_shards, tmp_path, victim, signum, status, message):
    with training_on_two_ranks(tiny_shards, tmp_path) as (process, child):
        os.kill(child if victim == "child" else process.pid, signum)
        assert process.wait(60) == status
        deadline = time.monotonic() + 60
        while is_running(child) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not is_running(child), "an orphan is left"
        errors = process.stderr.read()
    assert re.search(message, errors), errors
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["-c", "from deepspec.__main__ import main; main()", "fit"],  # what the script `deepspec` is
        ["SCRIPT", "fit"],
        ["-m", "deepspec", "fit"],
        ["-m", "deepspec.fit"],
        ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "deepspec.fit"],
    ],
    ids=["-c", "deepspec fit", "-m deepspec fit", "-m deepspec.fit", "torchrun"],
)
def test_every_form_of_the_command_starts_its_ranks(tiny_shards, tmp_path, command):
    """In a folder of the user's, whose modules are found as by rank 0 alone would."""
    (tmp_path / "deepspec").write_text("import sys\nfrom deepspec.__main__ import main\nsys.exit(main())\n")
    words = [str(tmp_path / "deepspec") if word == "SCRIPT" else word for word in command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    more = ["--trainer.max_epochs", "2", "--trainer.limit_train_batches", "3", "--data.batch_size", "128"]
    done = subprocess.run(
        [sys.executable, *words, *arguments(tiny_shards, tmp_path / "run", *TWO, *more)],
        env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("epoch 2/2") == 1
    assert len(rows_of(tmp_path / "run")) == 2
    assert int(rows_of(tmp_path / "run")[-1]["step"]) == 5, "three batches on each of two ranks are three steps"
    assert DeepClustering.load(tmp_path / "run" / "model.ckpt").run_config


@pytest.mark.ddp
@pytest.mark.slow
def test_a_mistake_that_every_rank_finds_is_one_line(tiny_shards, tmp_path):
    process = start(arguments(tiny_shards, tmp_path / "run", *TWO, "--data.max_rows", "1"))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.count("\n") == 1
    assert "the split 'train' has 1 rows for 2 processes: expected at least one for each" in errors


def test_strategies_that_do_not_start_the_command_again_are_refused(tiny_shards, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments(tiny_shards, tmp_path / "run", "--trainer.devices", "2", "--trainer.strategy", "ddp_spawn"))
    assert "starts the command again for each rank, such as ddp" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.ddp
@pytest.mark.slow
def test_a_small_set_trains_on_two_ranks_and_goes_on_where_it_was(tmp_path):
    """41 spectra, 512 in a batch: shares of 20 and 21, several passes; a run in two parts ends as one in one part."""
    with ShardWriter(tmp_path / "shards", SpectralAxis.linear(0.5, 0.5, 64, "keV"), "uint16", seed=0) as writer:
        for split, n in (("train", 41), ("val", 5)):
            writer.write(split, planted_spectra(n, seed=n)[0], np.zeros((n, 3), dtype=np.int32))
    more = [*TWO, "--data.batch_size", "512", "--data.min_batches", "3", "--model.network.spectra_per_node", "1"]
    for run, epochs, resume in (("whole", 4, []), ("parts", 2, []), ("parts", 4, ["--ckpt_path", "last"])):
        options = [*arguments(tmp_path / "shards", tmp_path / run, *more), "--trainer.max_epochs", str(epochs), *resume]
        process = start(options)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert (
            "41 training spectra for 2 processes: batches of 20 instead of 512, an epoch goes over them 3 t" in errors
        )
    whole, parts = (DeepClustering.load(tmp_path / run / "model.ckpt") for run in ("whole", "parts"))
    for name, value in whole.state_dict().items():
        assert same_state(value, parts.state_dict()[name]), name
