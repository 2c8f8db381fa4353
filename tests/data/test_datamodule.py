"""Batches over ranks, workers and residencies; order, resuming, and a real Trainer."""

from types import SimpleNamespace

import h5py
import lightning
import numpy as np
import pytest
import torch

from deepspec.axis import SpectralAxis
from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.data.shards.writer import ShardWriter
from deepspec.errors import UserError

TRAIN, VAL, TEST = 5003, 1301, 2  # odd on purpose; TEST has fewer rows than three ranks
CPU = torch.device("cpu")
SIZES = [{"train": TRAIN, "val": VAL, "test": TEST}, {"train": 3073, "val": 1, "test": 2047}]


def write(root, dtype="uint16", **rows):
    with ShardWriter(root, SpectralAxis.linear(0, 0.1, 4, "keV"), dtype, seed=0, rows_per_shard=2048) as writer:
        for split, n in rows.items():
            number = np.arange(n)
            pixel = np.stack([number * 0, number, number], axis=1)
            writer.write(split, (number[:, None] % 50000 + np.arange(4)).astype(dtype), pixel)
    return str(root)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "set", **SIZES[0])


@pytest.fixture(scope="module")
def other_root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "other", **SIZES[1])


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


def module(root, rank=0, world=1, device=CPU, **options):
    data = SpectraDataModule(root, **{"batch_size": 64, "residency": "ram", "shuffle_buffer": 2048, **options})
    data.trainer = SimpleNamespace(
        global_rank=rank,
        world_size=world,
        num_devices=world,
        is_global_zero=rank == 0,
        current_epoch=0,
        strategy=SimpleNamespace(broadcast=lambda value: value, root_device=device),
    )
    data.setup("fit")
    return data


def numbers(batches):
    return [row for batch in batches for row in batch["pixel"][batch["valid"], 1].tolist()]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for batch, other in zip(found, expected, strict=True):
        assert batch.keys() == other.keys()
        for name, tensor in batch.items():
            np.testing.assert_array_equal(tensor.numpy(), other[name].numpy())


RESIDENCIES = [("device", 0), ("ram", 0), ("stream", 0), ("stream", 1), ("stream", 2)]
# Python from 3.12 on warns that a process with threads forks, which is how workers start.
# Lightning 2.6 asks torch in a way that torch 2.13 is about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),
]


@pytest.mark.parametrize(("residency", "workers"), RESIDENCIES)
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1])
def test_every_row_exactly_once_over_the_ranks(root, other_root, size, world, residency, workers):
    """But for the rows of train that do not fill a batch on every rank, whose number is known beforehand."""
    batch = {1: 64, 2: 300, 3: 1000}[world]
    seen = {"train": [], "val": [], "test": []}
    counts = {split: set() for split in seen}
    for rank in range(world):
        data = module((root, other_root)[size], rank, world, residency=residency, num_workers=workers, batch_size=batch)
        for split in seen:
            loader = getattr(data, f"{split}_dataloader")()
            batches = list(loader)
            assert len(batches) == len(loader)
            assert all(len(b["spectra"]) == batch for b in batches)
            counts[split].add(len(batches))
            seen[split] += numbers(batches)
    rows = SIZES[size]
    assert sorted(seen["val"]) == list(range(rows["val"]))
    assert sorted(seen["test"]) == list(range(rows["test"]))
    assert len(set(seen["train"])) == len(seen["train"]) == rows["train"] // world // batch * batch * world
    assert all(len(found) == 1 for found in counts.values()), "ranks differ in their number of batches"


@pytest.mark.parametrize("residency", ["ram", "stream"])
@pytest.mark.parametrize(("world", "batch"), [(2, 64), (3, 100), (2, 1000)])
def test_a_step_of_evaluation_has_the_rows_of_one_process_in_order(root, world, batch, residency):
    """Batch i of all ranks together is batch i of one process; each alone is one of a process with smaller batches."""
    joint = [numbers([b]) for b in module(root, batch_size=world * batch).val_dataloader()]
    small = [numbers([b]) for b in module(root, batch_size=batch).val_dataloader()]
    ranks = [module(root, rank, world, residency=residency, batch_size=batch).val_dataloader() for rank in range(world)]
    for step, batches in enumerate(zip(*ranks, strict=True)):
        assert [row for b in batches for row in numbers([b])] == joint[step]
        for rank, b in enumerate(batches):
            assert numbers([b]) == (small[step * world + rank] if step * world + rank < len(small) else [])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_are_the_same_wherever_the_rows_are_and_whoever_reads_them(root, world):
    def batches(residency, workers):
        data = module(root, world - 1, world, residency=residency, num_workers=workers)
        train = data.train_dataloader()
        train.set_epoch(3)
        return [*train, *data.val_dataloader()]

    expected = batches("stream", 0)
    for residency, workers in RESIDENCIES:
        assert_equal(batches(residency, workers), expected)


def test_the_remainder_differs_from_epoch_to_epoch(root):
    loader = module(root, 1, 2, batch_size=2000).train_dataloader()
    seen = []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        seen.append(set(numbers(loader)))
    assert len(seen[0]) == len(seen[1]) == 2000
    assert seen[0] != seen[1]
    assert len(seen[0] | seen[1]) <= 2502, "a rank keeps to its own share"


def test_prediction_gives_every_row_of_every_split(root):
    loaders = module(root, batch_size=100).predict_dataloader()
    for loader, rows in zip(loaders, SIZES[0].values(), strict=True):
        assert sorted(numbers(loader)) == list(range(rows))
        assert sum(int((~batch["valid"]).sum()) for batch in loader) == -rows % 100


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
    for rank, valid in ((0, 2), (2, 0)):  # two rows on three ranks leave the last without any
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


def test_a_state_of_another_order_is_refused_in_mid_epoch_only(root):
    state = module(root).train_dataloader().state_dict()
    for options, message in (
        ({"batch_size": 32}, "batch_size = 64, now it is 32"),
        ({"shuffle_buffer": 1024}, "shuffle_buffer = 2048, now it is 1024"),
        ({"seed": 1}, "seed = 0, now it is 1"),
        ({"world": 2}, "ranks = 1, now it is 2"),
        ({"max_rows": 1500}, "batches = 78, now it is 23"),
    ):
        loader = module(root, **options).train_dataloader()
        loader.load_state_dict({**state, "batch": 3})
        with pytest.raises(UserError, match=message):
            next(iter(loader))
        loader.load_state_dict({**state, "batch": 78})
        next(iter(loader))
    again = module(root, residency="stream", num_workers=1).train_dataloader()
    again.load_state_dict({**state, "batch": 77})
    assert len(list(again)) == 1


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


@pytest.mark.parametrize("residency", ["device", "ram", "stream"])
def test_max_rows(root, residency):
    data = module(root, residency=residency, max_rows=1100, batch_size=100)
    used = numbers(data.train_dataloader())
    assert len(set(used)) == 1100
    assert set(data.sample("train", 5000, 0)[:, 0].tolist()) == set(used)
    assert len(numbers(data.val_dataloader())) == 1100


def test_auto_takes_memory_when_the_data_fit(root, monkeypatch):
    for free, expected in ((10**9, "ram"), (10**5, "stream")):
        monkeypatch.setattr("deepspec.data.shards.datamodule.available_memory", lambda free=free: free)
        assert module(root, residency="auto").residency == expected


@pytest.mark.parametrize("residency", ["ram", "device"])
def test_what_does_not_fit_is_refused(root, monkeypatch, residency):
    """Train and val: 6304 rows of 4 x 2 + 12 bytes; two ranks on one machine share its memory."""
    need = (TRAIN + VAL) * 20
    for free, world in ((need - 1, 1), (need - 1, 2)):
        monkeypatch.setattr("deepspec.data.memory.available_memory", lambda free=free: free)
        message = f"data.residency {residency}: .* take 0.00 GB on cpu, .* 0.00 GB are free: take .*stream"
        with pytest.raises(UserError, match=message):
            module(root, 0, world, residency=residency)
    monkeypatch.setattr("deepspec.data.memory.available_memory", lambda: need)
    module(root, residency=residency)
    module(root, residency="stream")


@pytest.mark.parametrize("place", [pytest.param("cpu"), pytest.param("cuda", marks=needs_gpu)])
def test_a_device_keeps_its_batches(root, place):
    """What lies on the rank's device already is handed on by Lightning as it is, not copied."""
    device = torch.device(place)
    data = module(root, residency="device", device=device)
    train, expected = data.train_dataloader(), module(root, residency="ram").train_dataloader()
    for loader, reference in ((train, expected), (data.test_dataloader(), module(root).test_dataloader())):
        batches = list(loader)
        assert all(tensor.device.type == place for batch in batches for tensor in batch.values())
        assert all(data.transfer_batch_to_device(b, device, 0)[name] is b[name] for b in batches for name in b)
        assert_equal([{name: tensor.cpu() for name, tensor in batch.items()} for batch in batches], list(reference))
        floats = [batch["spectra"].float().cpu().numpy() for batch in batches]
        np.testing.assert_array_equal(floats, [batch["spectra"].numpy() for batch in reference])


@needs_gpu
def test_auto_takes_the_gpu(root):
    assert module(root, residency="auto", device=torch.device("cuda")).residency == "device"


def test_shared_memory_that_is_too_small(root, monkeypatch):
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr("deepspec.data.shards.rows.shutil.disk_usage", lambda path: full)
    with pytest.raises(UserError, match=r"needs 0 MiB of shared memory, /dev/shm has 0 MiB free: lower data.shuffle"):
        next(iter(module(root, residency="stream", num_workers=1).train_dataloader()))


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
        ({"min_batches": 0}, "data.min_batches is 0"),
        ({"seed": -1}, "data.seed"),
    ],
)
def test_options_out_of_range(root, options, message):
    with pytest.raises(UserError, match=message):
        SpectraDataModule(root, **options)


def test_more_processes_than_rows(tmp_path):
    with pytest.raises(UserError, match="the split 'train' has 2 rows for 3 processes: expected at least one for each"):
        module(write(tmp_path / "a", train=2), 0, 3).train_dataloader()


@pytest.mark.parametrize(("residency", "workers"), RESIDENCIES)
@pytest.mark.parametrize(("rows", "world"), [(1, 1), (41, 1), (41, 2), (41, 3), (3, 3), (1025, 2)])
def test_a_batch_larger_than_the_split_is_the_split(tmp_path, rows, world, residency, workers):
    """Every rank's batch is its share, in another order each epoch, and is the same as when that size is given."""
    root = write(tmp_path / "a", train=rows, val=2)
    size, seen = rows // world, []
    for rank in range(world):
        options = {"residency": residency, "num_workers": workers}
        data, exact = (module(root, rank, world, batch_size=b, **options) for b in (2000, size))
        loader, expected = data.train_dataloader(), exact.train_dataloader()
        assert data.train_batch_size == size
        assert len(loader) == 1
        for epoch in (0, 1):
            for each in (loader, expected):
                each.set_epoch(epoch)
            (batch,) = loader
            assert len(batch["spectra"]) == size
            assert batch["valid"].all()
            assert_equal([batch], list(expected))
        assert loader.state_dict() == expected.state_dict()
        assert [len(b["spectra"]) for b in data.val_dataloader()] == [2000], "validation is padded as before"
        loader.set_epoch(0)
        seen += numbers(loader)
    assert len(set(seen)) == len(seen) == size * world


def test_a_smaller_batch_is_said_once_and_only_then(tmp_path, capsys):
    root = write(tmp_path / "a", train=41, val=1)
    module(root, 0, 2, batch_size=512)
    module(root, 1, 2, batch_size=512)
    said = capsys.readouterr().err
    assert said == f"{root}: 41 training spectra for 2 processes: batches of 20 instead of 512\n"
    module(root, batch_size=41)
    assert capsys.readouterr().err == ""


def test_a_small_split_is_shuffled_each_epoch(tmp_path):
    loader = module(write(tmp_path / "a", train=41), batch_size=512).train_dataloader()
    orders = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        orders.append(numbers(loader))
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(41))


@pytest.mark.parametrize(("residency", "workers"), RESIDENCIES)
@pytest.mark.parametrize(("rows", "world", "batch"), [(41, 1, 512), (41, 2, 512), (1100, 2, 300)])
def test_an_epoch_of_a_small_split_has_several_passes(tmp_path, rows, world, batch, residency, workers):
    """Each row about as often as the others, in any residency and from any batch on the same."""
    root = write(tmp_path / "a", train=rows)
    options = {"residency": residency, "num_workers": workers, "min_batches": 7, "batch_size": batch}
    seen = []
    for rank in range(world):
        data = module(root, rank, world, **options)
        loader = data.train_dataloader()
        size = min(batch, rows // world)
        assert len(loader) == 7
        loader.set_epoch(1)
        whole = [b["pixel"][:, 1].tolist() for b in loader]
        reference = module(root, rank, world, **{**options, "residency": "stream", "num_workers": 0})
        expected = reference.train_dataloader()
        expected.set_epoch(1)
        assert whole == [b["pixel"][:, 1].tolist() for b in expected]
        batches = iter(loader)
        for _ in range(4):
            next(batches)
        again = module(root, rank, world, **options).train_dataloader()
        again.load_state_dict(loader.state_dict())
        again.set_epoch(1)
        assert [b["pixel"][:, 1].tolist() for b in again] == whole[4:]
        assert len({tuple(b) for b in whole}) == len(whole)
        seen += [row for b in whole for row in b]
    often = np.bincount(seen, minlength=rows)
    passes = 7 * size / (rows // world)
    assert often.max() <= np.ceil(passes)
    assert (often >= np.floor(passes) - 1).all(), "a rank's odd row may have to wait for the next epoch"


def test_a_split_of_enough_batches_has_one_pass(root):
    first, second = (module(root, min_batches=n).train_dataloader() for n in (1, 78))
    assert_equal(list(first), list(second))


def test_damage_is_found_before_training(tmp_path):
    path = write(tmp_path / "a", train=3000)
    data = SpectraDataModule(path)
    shard = data.shards.shards("train")[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"train-00001.h5: damaged"):
        data.setup("fit")


@pytest.mark.parametrize(("residency", "workers"), [("stream", 0), ("stream", 1)])
def test_damage_inside_a_shard_is_one_clear_error(tmp_path, residency, workers):
    path = write(tmp_path / "a", train=3000, val=1)
    data = module(path, residency=residency, num_workers=workers)
    with h5py.File(data.shards.shards("train")[1], "a") as file:
        file["spectra"][5, 2] += 1
    with pytest.raises(UserError, match=r"^\S*train-00001.h5: damaged shard: rows 0:952 do not match their checksum"):
        list(data.train_dataloader())


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


@pytest.mark.parametrize(("residency", "workers"), [("device", 0), ("ram", 0), ("stream", 0), ("stream", 1)])
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
