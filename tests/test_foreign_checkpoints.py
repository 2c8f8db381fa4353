"""Checkpoints of others, of a newer version, or damaged: one line of ours, and never the advice to run their code."""

import numpy as np
import pytest
import torch

from deepspec import DeepClustering, SpectralCube, read_cube, segment_cube
from deepspec.errors import UserError
from deepspec.fit import main as fit
from deepspec.models import SpectralModel
from deepspec.models.spectral_model import FORMAT, VERSION
from deepspec.segment import main as segment
from tests.training.test_trainer_settings import arguments


class Foreign:
    """What a checkpoint of other software is made of."""


@pytest.fixture(scope="module")
def trained(tiny_shards, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    fit(arguments(tiny_shards, run))
    return run


def changed(path, target, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, target)
    return target


def files(trained, folder):
    """Name -> a file that must be refused, and what has to be said of it."""
    model = trained / "model.ckpt"
    torch.save({"state_dict": {}, "model": Foreign()}, folder / "foreign.ckpt")
    torch.save({"state_dict": {"a": torch.ones(2)}}, folder / "plain.ckpt")
    torch.save(Foreign(), folder / "whole.pt")
    (folder / "cut.ckpt").write_bytes(model.read_bytes()[:5000])
    middle = bytearray(model.read_bytes())
    middle[len(middle) // 2] ^= 1
    (folder / "flipped.ckpt").write_bytes(middle)
    (folder / "text.ckpt").write_text("a checkpoint")
    return {
        folder / "foreign.ckpt": "holds objects of a program",
        folder / "plain.ckpt": "got another kind of file",
        folder / "whole.pt": "holds objects of a program",
        folder / "cut.ckpt": "no archive, or cut short",
        folder / "flipped.ckpt": "damaged",
        folder / "text.ckpt": "no archive, or cut short",
        changed(model, folder / "newer.ckpt", lambda c: c[FORMAT].update(version=99)): (
            "a checkpoint of version 99, which a newer deepspec wrote; this one reads 1 and older: update deepspec"
        ),
        changed(model, folder / "none.ckpt", lambda c: c[FORMAT].pop("version")): "got None in its place",
        changed(model, folder / "odd.ckpt", lambda c: c[FORMAT].update(version="1")): "got '1' in its place",
    }


@pytest.mark.parametrize("load", [SpectralModel.load, DeepClustering.load])
def test_each_is_refused_from_python(trained, tmp_path, load):
    for path, message in files(trained, tmp_path).items():
        with pytest.raises(UserError) as found:
            load(path)
        said = str(found.value)
        assert message in said, path.name
        assert str(path) in said
        assert "\n" not in said
        assert "weights_only" not in said


def test_each_is_refused_by_the_commands(trained, tiny_shards, tmp_path, capsys):
    np.save(tmp_path / "scan.npy", np.ones((4, 5, 64), np.uint16))
    for path, message in files(trained, tmp_path).items():
        for main, words in (
            (segment, [str(tmp_path / "scan.npy"), "--checkpoint", str(path), "--out", str(tmp_path / "out")]),
            (fit, [*arguments(tiny_shards, tmp_path / "run"), "--ckpt_path", str(path)]),
        ):
            capsys.readouterr()
            with pytest.raises(SystemExit, match="2"):
                main(words)
            said = capsys.readouterr().err
            assert message in said, (path.name, said)
            assert said.count("\n") == 1, said
            assert "weights_only" not in said
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "run").exists()


def test_what_is_written_has_the_version_that_is_read(trained):
    for name in ("model.ckpt", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        assert torch.load(trained / name, weights_only=True)[FORMAT]["version"] == VERSION


def test_an_array_in_place_of_a_file_or_a_cube(tmp_path):
    array = np.ones((4, 5, 64), np.float32)
    model = None
    for call in (
        lambda: read_cube(array),
        lambda: segment_cube(array, model),
        lambda: segment_cube(torch.from_numpy(array), model),
    ):
        with pytest.raises(UserError, match=r"got an array of shape \(4, 5, 64\): .*SpectralCube.from_array"):
            call()
    with pytest.raises(UserError, match="expected a SpectralCube, got a value of type str: read_cube opens a file"):
        segment_cube("scan.h5", model)
    with pytest.raises(UserError, match="expected the path of a file, got None"):
        read_cube(None)
    with pytest.raises(UserError, match=r"the path model\.ckpt: DeepClustering.load reads it"):
        segment_cube(SpectralCube.from_array(array), "model.ckpt")
    with pytest.raises(UserError, match="expected the path of a checkpoint, got an array"):
        DeepClustering.load(array)
