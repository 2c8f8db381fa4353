"""Batches over ranks, workers and residencies; order, resuming, and a real Trainer."""

from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch

from deepspec.data.axis import SpectralAxis
from deepspec.data.datamodule import SpectraDataModule
from deepspec.data.shard_writer import ShardWriter
from deepspec.errors import UserError

TRAIN, VAL, TEST = 5003, 1301, 2  # odd on purpose; TEST has fewer rows than three ranks


def write(root, dtype="uint16", **rows):
    with ShardWriter(root, SpectralAxis.linear(0, 0.1, 4, "keV"), dtype, seed=0, rows_per_shard=2048) as writer:
        for split, n in rows.items():
            number = np.arange(n)
            pixel = np.stack([number * 0, number, number], axis=1)
            writer.write(split, (number[:, None] % 50000 + np.arange(4)).astype(dtype), pixel)
    return str(root)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "set", train=TRAIN, val=VAL, test=TEST)


def module(root, rank=0, world=1, **options):
    data = SpectraDataModule(root, **{"batch_size": 64, "residency": "ram", "shuffle_buffer": 2048, **options})
    data.trainer = SimpleNamespace(
        global_rank=rank,
        world_size=world,
        num_devices=world,
        current_epoch=0,
        strategy=SimpleNamespace(broadcast=lambda value: value, root_device=torch.device("cpu")),
    )
    data.setup("fit")
    return data


def numbers(batches):
    return [row for batch in batches for row in batch["pixel"][batch["valid"], 1].tolist()]


RESIDENCIES = [("ram", 0), ("stream", 0), ("stream", 1), ("stream", 2)]
# Python from 3.12 on warns that a process with threads forks, which is how workers start.
# Lightning 2.6 asks torch in a way that torch 2.13 is about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),
]


@pytest.mark.parametrize(("residency", "workers"), RESIDENCIES)
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_exactly_once_over_the_ranks(root, world, residency, workers):
    batch = {1: 64, 2: 300, 3: 1000}[world]
    seen = {"train": [], "val": [], "test": []}
    counts = {split: set() for split in seen}
    for rank in range(world):
        data = module(root, rank, world, residency=residency, num_workers=workers, batch_size=batch)
        for split in seen:
            loader = getattr(data, f"{split}_dataloader")()
            batches = list(loader)
            assert len(batches) == len(loader)
            assert all(len(b["spectra"]) == batch for b in batches)
            counts[split].add(len(batches))
            seen[split] += numbers(batches)
    assert sorted(seen["val"]) == list(range(VAL))
    assert sorted(seen["test"]) == list(range(TEST))
    assert len(set(seen["train"])) == len(seen["train"]) == TRAIN // world // batch * batch * world
    assert all(len(found) == 1 for found in counts.values()), "ranks differ in their number of batches"


@pytest.mark.parametrize("residency", ["ram", "stream"])
def test_batches_hold_what_was_written(root, residency):
    data = module(root, residency=residency)
    for batch in (next(iter(data.train_dataloader())), *data.val_dataloader()):
        assert {name: tensor.dtype for name, tensor in batch.items()} == {
            "spectra": torch.uint16,
            "pixel": torch.int32,
            "valid": torch.bool,
        }
        expected = batch["pixel"][:, 1:2].numpy() + np.arange(4)
        np.testing.assert_array_equal(batch["spectra"].numpy(), expected)


def test_padding_is_a_real_row_marked_invalid(root):
    for rank, valid in ((0, 0), (2, 1)):  # two rows on three ranks leave the first without any
        (batch,) = module(root, rank, 3, batch_size=5).test_dataloader()
        assert batch["valid"].tolist() == [True] * valid + [False] * (5 - valid)
        np.testing.assert_array_equal(batch["spectra"].numpy(), batch["pixel"][:, 1:2].numpy() + np.arange(4))


@pytest.mark.parametrize("world", [1, 2])
def test_order_depends_on_seed_and_epoch_and_not_on_workers(root, world):
    def order(workers=0, epoch=0, seed=0):
        data = module(root, world - 1, world, residency="stream", num_workers=workers, seed=seed)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return numbers(loader)

    first = order()
    assert order(1) == order(2) == order() == first
    assert order(epoch=1) != first
    assert order(seed=1) != first
    assert order(workers=2, epoch=3) == order(workers=0, epoch=3)


@pytest.mark.parametrize(("residency", "workers"), RESIDENCIES)
def test_epochs_of_one_loader(root, residency, workers):
    loader = module(root, residency=residency, num_workers=workers).train_dataloader()
    orders = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        orders.append(numbers(loader))
    assert orders[0] == orders[2] != orders[1]
    assert np.abs(np.corrcoef(orders[0], np.arange(len(orders[0])))[0, 1]) < 4 / np.sqrt(TRAIN)


@pytest.mark.parametrize(("residency", "workers"), RESIDENCIES)
@pytest.mark.parametrize("given", [0, 1, 40, 77])
def test_a_loader_goes_on_where_its_state_was_taken(root, residency, workers, given):
    options = {"residency": residency, "num_workers": workers}
    loader = module(root, **options).train_dataloader()
    loader.set_epoch(2)
    whole = [batch["pixel"][:, 1].tolist() for batch in loader]
    assert len(whole) == 78
    batches = iter(loader)
    for _ in range(given):
        next(batches)
    again = module(root, **options).train_dataloader()
    again.load_state_dict(loader.state_dict() if given else {"epoch": 2, "batch": 0})
    again.set_epoch(2)
    assert [batch["pixel"][:, 1].tolist() for batch in again] == whole[given:]
    assert [batch["pixel"][:, 1].tolist() for batch in again] == whole, "a state is used once"


def test_a_state_of_another_or_a_finished_epoch_is_not_used(root):
    loader = module(root).train_dataloader()
    for state in ({"epoch": 0, "batch": len(loader)}, {"epoch": 1, "batch": 5}):
        loader.load_state_dict(state)
        assert sum(1 for _ in loader) == len(loader)


def test_sample_is_the_same_everywhere(root):
    samples = [
        module(root, rank, world, residency=residency).sample("train", 1500, seed=3)
        for rank, world, residency in ((0, 1, "ram"), (1, 2, "stream"), (0, 2, "ram"))
    ]
    assert samples[0].shape == (1500, 4)
    assert samples[0].dtype == torch.uint16
    np.testing.assert_array_equal(samples[0].numpy(), samples[1].numpy())
    np.testing.assert_array_equal(samples[0].numpy(), samples[2].numpy())
    assert len(np.unique(samples[0].numpy()[:, 0])) == 1500
    assert not np.array_equal(samples[0].numpy(), module(root).sample("train", 1500, seed=4).numpy())
    assert len(module(root).sample("test", 1500, seed=0)) == TEST


@pytest.mark.parametrize("residency", ["ram", "stream"])
def test_max_rows(root, residency):
    data = module(root, residency=residency, max_rows=1100, batch_size=100)
    used = numbers(data.train_dataloader())
    assert len(set(used)) == 1100
    assert set(data.sample("train", 5000, 0)[:, 0].tolist()) == set(used)
    assert len(numbers(data.val_dataloader())) == 1100


def test_auto_takes_memory_when_the_data_fit(root, monkeypatch):
    for free, expected in ((10**9, "ram"), (10**5, "stream")):
        monkeypatch.setattr("deepspec.data.datamodule.available_memory", lambda free=free: free)
        assert module(root, residency="auto").residency == expected


def test_rank_zero_decides_for_all(root):
    data = SpectraDataModule(root)
    data.trainer = module(root).trainer
    data.trainer.strategy.broadcast = lambda value: "stream"
    data.setup("fit")
    assert data.residency == "stream"


def test_without_a_trainer_it_is_one_process(root):
    data = SpectraDataModule(root, batch_size=1000)
    assert len(list(data.train_dataloader())) == 5
    assert data.axis.unit == "keV"


def test_float_spectra(tmp_path):
    data = SpectraDataModule(write(tmp_path / "a", "float32", train=10), batch_size=5)
    assert next(iter(data.train_dataloader()))["spectra"].dtype == torch.float32


def test_without_splits_for_evaluation(tmp_path, capsys):
    root = write(tmp_path / "a", train=1000)
    assert fit(root, "ram", 0).validated == []
    assert "no split 'val', so no validation" in capsys.readouterr().err
    data = SpectraDataModule(root, batch_size=5)
    assert data.val_dataloader() == []
    with pytest.raises(UserError, match="no split 'test'"):
        data.test_dataloader()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "data.batch_size is 0, expected at least 1"),
        ({"num_workers": -1}, "data.num_workers is -1"),
        ({"shuffle_buffer": 0}, "data.shuffle_buffer"),
        ({"max_rows": 0}, "data.max_rows"),
        ({"seed": -1}, "data.seed"),
    ],
)
def test_options_out_of_range(root, options, message):
    with pytest.raises(UserError, match=message):
        SpectraDataModule(root, **options)


def test_too_few_rows_for_a_batch(root):
    with pytest.raises(UserError, match="5003 rows, too few for a batch of 3000 on 2 processes: lower"):
        module(root, 0, 2, batch_size=3000).train_dataloader()


def test_damage_is_found_before_training(tmp_path):
    path = write(tmp_path / "a", train=3000)
    data = SpectraDataModule(path)
    shard = data.shards.shards("train")[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"train-00001.h5: damaged"):
        data.setup("fit")


class Recorder(lightning.LightningModule):
    """Notes the rows of each training batch; one weight, so that there is something to fit."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.seen, self.validated = [], []

    def training_step(self, batch, index):
        self.seen.append((self.current_epoch, batch["pixel"][:, 1].tolist()))
        return (batch["spectra"].float() * self.weight).mean()

    def validation_step(self, batch, index):
        self.validated += batch["pixel"][batch["valid"], 1].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Save(lightning.Callback):
    """Saves a checkpoint after a batch, or when an epoch's training ends, once."""

    def __init__(self, path, step, hook):
        self.path, self.step, self.hook = path, step, hook

    def save(self, trainer, hook):
        if hook == self.hook and trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)

    def on_train_batch_end(self, trainer, *rest):
        self.save(trainer, "batch")

    def on_train_epoch_end(self, trainer, *rest):
        self.save(trainer, "epoch")


def fit(root, residency, workers, callbacks=(), ckpt_path=None):
    recorder = Recorder()
    data = SpectraDataModule(root, batch_size=500, residency=residency, num_workers=workers, shuffle_buffer=2048)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(recorder, data, ckpt_path=ckpt_path)
    return recorder


@pytest.mark.parametrize(("residency", "workers"), [("ram", 0), ("stream", 0), ("stream", 1)])
def test_a_trainer_resumes_in_mid_epoch_and_between_epochs(root, tmp_path, residency, workers):
    """Ten batches an epoch: resuming after 4 or 10 of 20 gives the batches of the uninterrupted run."""
    saves = [
        Save(tmp_path / f"{step}-{hook}", step, hook) for step, hook in ((4, "batch"), (10, "batch"), (10, "epoch"))
    ]
    whole = fit(root, residency, workers, saves)
    assert [epoch for epoch, _ in whole.seen] == [0] * 10 + [1] * 10
    assert sorted(whole.validated) == sorted(list(range(VAL)) * 2)
    assert whole.seen[0][1] != whole.seen[10][1]
    for save in saves:
        resumed = fit(root, residency, workers, ckpt_path=save.path)
        assert resumed.seen == whole.seen[save.step :], save.hook
