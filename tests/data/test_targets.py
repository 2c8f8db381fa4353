"""Neighbours as targets: which pixels are neighbours, how they are drawn, and the batches that hold them."""

import numpy as np
import pytest
import torch

from deepspec.data.cube import read_cube
from deepspec.data.ingestion import IngestPlan, ingest_cubes
from deepspec.data.neighbours import NeighbourRows
from deepspec.data.shards.datamodule import SpectraDataModule
from deepspec.errors import UserError
from tests.data.test_datamodule import module, write

ROWS, COLUMNS = 50, 40


def set_of_images(folder, images=2, split=(0.9, 0.1, 0.0), keep=1.0):
    """Shards of cubes whose first channels spell number of the cube, y and x."""
    cubes = []
    for number in range(images):
        y, x = np.mgrid[:ROWS, :COLUMNS]
        values = np.stack([y * 0 + number, y, x, y * 0 + 1], axis=2).astype(np.uint16)
        np.save(folder / f"{number}.npy", values)
        cubes.append(read_cube(folder / f"{number}.npy", spectral_dim=2))
    ingest_cubes(cubes, folder / "shards", IngestPlan(split=split, keep=keep))
    return str(folder / "shards")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return set_of_images(tmp_path_factory.mktemp("images"))


def neighbours_by_a_loop(pixel_N3, images):
    """For each row the set of those whose y and x differ by at most one, in the same image."""
    found = []
    for row, (cube, y, x) in enumerate(pixel_N3.tolist()):
        found.append(
            {
                other
                for other, (cube2, y2, x2) in enumerate(pixel_N3.tolist())
                if other != row and cube2 == cube and cube in images and abs(y2 - y) <= 1 and abs(x2 - x) <= 1
            }
        )
    return found


def test_neighbours_are_those_that_a_loop_finds_and_all_are_drawn_alike():
    rng = np.random.default_rng(0)
    places = np.array([(n, y, x) for n in range(3) for y in range(9) for x in range(6)], dtype=np.int32)
    pixel_N3 = rng.permutation(places)[:100]
    rows = NeighbourRows(pixel_N3, images=[0, 2])
    expected = neighbours_by_a_loop(pixel_N3, {0, 2})
    np.testing.assert_array_equal(rows.count_N, [len(found) for found in expected])
    assert (rows.count_N == 0).any()
    drawn = np.array([rows.draw(np.arange(100), (7, key)) for key in range(2000)])
    for row, found in enumerate(expected):
        counts = np.bincount(drawn[:, row], minlength=100)
        assert set(np.flatnonzero(counts)) == (found or {row})
        if found:
            share = 2000 / len(found)
            assert np.abs(counts[sorted(found)] - share).max() < 5 * np.sqrt(share)


def test_no_rows_and_a_single_one():
    assert NeighbourRows(np.empty((0, 3), np.int32), [0]).count_N.shape == (0,)
    rows = NeighbourRows(np.array([[0, 5, 5]]), [0])
    np.testing.assert_array_equal(rows.draw(np.array([0]), (1,)), [0])


def test_a_run_that_goes_on_draws_what_it_would_have_drawn():
    pixel_N3 = np.array([(0, y, x) for y in range(10) for x in range(10)])
    rows, order = NeighbourRows(pixel_N3, [0]), np.random.default_rng(1).permutation(100)
    np.testing.assert_array_equal(rows.draw(order[30:], (3, 4), skip=30), rows.draw(order, (3, 4))[30:])


@pytest.mark.parametrize("residency", ["ram", "device"])
def test_targets_of_training_batches_are_neighbours_and_other_ones_each_time(images, residency):
    data = module(images, residency=residency, target="neighbour", batch_size=100)
    loader, seen = data.train_dataloader(), []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        batches = list(loader)
        pixel = torch.cat([batch["pixel"] for batch in batches]).long()
        target = torch.cat([batch["target"] for batch in batches]).long()
        spectra = torch.cat([batch["spectra"] for batch in batches]).long()
        assert torch.equal(spectra[:, :3], pixel)
        assert torch.equal(target[:, 0], pixel[:, 0])
        steps = (target[:, 1:3] - pixel[:, 1:]).abs()
        assert int(steps.max()) == 1
        assert (steps.sum(1) > 0).all()
        seen.append((pixel, target))
    assert torch.equal(seen[0][1], seen[2][1])
    first, second = ({tuple(p): tuple(t) for p, t in zip(*map(torch.Tensor.tolist, s), strict=True)} for s in seen[:2])
    same = np.mean([first[pixel] == second[pixel] for pixel in first.keys() & second.keys()])
    assert 0.08 < same < 0.2  # one in up to eight
    assert all("target" not in batch for batch in data.val_dataloader())
    assert "target" not in next(iter(module(images).train_dataloader()))


def test_a_loader_goes_on_with_the_same_targets(images):
    loader = module(images, target="neighbour").train_dataloader()
    whole = list(loader)
    batches = iter(loader)
    for _ in range(5):
        next(batches)
    again = module(images, target="neighbour").train_dataloader()
    again.load_state_dict(loader.state_dict())
    for batch, expected in zip(list(again), whole[5:], strict=True):
        assert torch.equal(batch["target"].long(), expected["target"].long())


def test_two_ranks_find_neighbours_among_their_own_rows(images, capsys):
    for rank in (0, 1):
        data = module(images, rank, 2, target="neighbour", batch_size=100)
        batches = list(data.train_dataloader())
        own = {tuple(p) for batch in batches for p in batch["pixel"].tolist()}
        source = {tuple(p) for p in data._sources["train", 0]._pixel.tolist()}
        assert {tuple(t[:3]) for batch in batches for t in batch["target"].tolist()} <= source
        assert own <= source
    assert "training spectra have no neighbour among them and are their own targets" in capsys.readouterr().err


def test_what_has_no_neighbours_is_refused_in_one_line(images, tmp_path):
    with pytest.raises(UserError, match=r"^data.target is 'mean', expected one of self, neighbour$"):
        SpectraDataModule(images, target="mean")
    with pytest.raises(UserError, match=r"^data.target neighbour: \S+ was not made of images .*data.target self$"):
        SpectraDataModule(write(tmp_path / "table", train=2000), target="neighbour")
    with pytest.raises(UserError, match=r"^data.target neighbour: expected the spectra in memory.*residency stream:"):
        module(images, residency="stream", target="neighbour")
    alone = set_of_images(tmp_path, images=1, split=(1.0, 0.0, 0.0), keep=0.002)
    data = module(alone, target="neighbour")
    with pytest.raises(UserError, match=r"none of the . training spectra has another beside it"):
        data.train_dataloader()


def test_auto_that_has_to_stream_says_so(images, monkeypatch):
    monkeypatch.setattr("deepspec.data.shards.datamodule.available_memory", lambda: 100)
    with pytest.raises(UserError, match=r"data.residency auto, which is stream here: take data.residency ram"):
        module(images, residency="auto", target="neighbour")


def test_the_command_trains_on_neighbours_of_a_real_scan(shared_data, tmp_path, capsys):
    """On a real scene the command trains, and what the network gives is near the neighbours; a table is refused."""
    from deepspec.fit import main as fit
    from deepspec.ingest import main as ingest
    from deepspec.models import SpectralModel
    from tests.training.test_fit import arguments

    cube = shared_data / "salinas_a" / "SalinasA_corrected.mat"
    ingest([str(cube), "--out", str(tmp_path / "shards"), "--split", "0.9", "0.1", "0"])
    command = arguments(tmp_path / "shards", tmp_path / "run", "--data.target", "neighbour", epochs=4)
    command[command.index("--model.preprocess") + 1] = "[{step: standard}]"
    fit(command)
    data = module(str(tmp_path / "shards"), target="neighbour", batch_size=1000)
    batch = next(iter(data.train_dataloader()))
    model = SpectralModel.load(tmp_path / "run" / "model.ckpt")
    given, wanted = model.preprocess(batch["spectra"]), model.preprocess(batch["target"])
    reconstruction = model.network(given)
    # untrained, it would explain none of their variance
    assert (reconstruction - wanted).square().mean() < (wanted - wanted.mean(0)).square().mean() / 5
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        fit(arguments(write(tmp_path / "table", train=2000), tmp_path / "other", "--data.target", "neighbour"))
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "knows no neighbouring pixels" in error
    assert not (tmp_path / "other").exists()
