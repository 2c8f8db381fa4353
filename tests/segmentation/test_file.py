import dataclasses
import hashlib
import re
from importlib.metadata import version

import h5py
import numpy as np
import pytest
import torch

from deepspec.axis import SpectralAxis
from deepspec.data.cube import read_cube
from deepspec.data.hdf5_file import seal
from deepspec.errors import UserError
from deepspec.segmentation import Segmentation, provenance, segment_cube
from tests.support.planted import LinearModel, planted_cube, spoilt_cube


def test_a_saved_segmentation_comes_back_as_it_was(tmp_path):
    cube, _, _ = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    model.clusters.set(torch.tensor([[-8.0, 0, 0], [0, 6, 0], [500, 0, 3]]))
    for mode in ("refit", "frozen"):
        found = segment_cube(cube, model, clusters=mode)
        found.save(tmp_path / "a.h5")
        loaded = Segmentation.load(tmp_path / "a.h5")
        for field in dataclasses.fields(Segmentation):
            before, after = getattr(found, field.name), getattr(loaded, field.name)
            if isinstance(before, SpectralAxis):
                assert before.to_dict() == after.to_dict()
            elif isinstance(before, np.ndarray):
                np.testing.assert_array_equal(before, after, err_msg=field.name)
                assert before.dtype == after.dtype
            elif field.name == "sample":
                for name, array in vars(before).items():
                    np.testing.assert_array_equal(array, getattr(after, name), err_msg=name)
                    assert array.dtype == getattr(after, name).dtype
            else:
                assert before == after, field.name
        with h5py.File(tmp_path / "a.h5") as file:
            assert file.attrs["format"] == "deepspec-segmentation"
            assert file["axis"].attrs["unit"] == "keV"
            assert file["structure"].attrs["sentence"] == found.structure.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_file_from_before_the_clouds_were_counted_is_read(tmp_path):
    cube, _ = planted_cube()
    segment_cube(cube, LinearModel(cube), clusters="refit").save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["structure"].attrs["clouds"]
    seal(tmp_path / "a.h5")
    assert Segmentation.load(tmp_path / "a.h5").structure.clouds == 20
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["structure"].attrs["p"]
    seal(tmp_path / "a.h5")
    with pytest.raises(UserError, match="damaged"):
        Segmentation.load(tmp_path / "a.h5")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"none.h5: no such segmentation"):
        Segmentation.load(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("labels")
    with pytest.raises(UserError, match=r"text.h5: expected a segmentation .* damaged or of another kind"):
        Segmentation.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "shard.h5", "w") as file:
        file.attrs["format"] = "deepspec-shard"
    with pytest.raises(UserError, match=r"shard.h5: expected .*, got a file of format 'deepspec-shard'"):
        Segmentation.load(tmp_path / "shard.h5")
    with h5py.File(tmp_path / "later.h5", "w") as file:
        file.attrs.update(format="deepspec-segmentation", version=2)
    with pytest.raises(UserError, match="expected version 1 of the segmentation file, got 2"):
        Segmentation.load(tmp_path / "later.h5")
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.attrs.update(format="deepspec-segmentation", version=1)
    with pytest.raises(UserError, match="damaged"):
        Segmentation.load(tmp_path / "part.h5")


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    cube, _ = planted_cube()
    found = segment_cube(cube, LinearModel(cube), clusters="refit", k=(4, 4))
    found.save(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    broken = dataclasses.replace(found, total_latent=np.array([object()]))
    with pytest.raises(TypeError):
        broken.save(tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


def test_provenance_names_and_hashes_the_files(tmp_path, monkeypatch):
    cube, _ = planted_cube()
    path, checkpoint = tmp_path / "cube.npy", tmp_path / "model.ckpt"
    np.save(path, cube.read_rows(0, 24))
    checkpoint.write_bytes(b"weights")
    with read_cube(path, axis="1:15.75:keV") as stored:
        found = segment_cube(stored, LinearModel(cube), clusters="refit", k=(4, 4), seed=5, checkpoint=checkpoint)
        monkeypatch.setattr(provenance, "HASHED_BYTES", 100)
        unhashed = segment_cube(stored, LinearModel(cube), clusters="refit", k=(4, 4), checkpoint=checkpoint)
    record = found.provenance
    assert (record.cube, record.checkpoint) == (str(path), str(checkpoint))
    assert record.cube_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.checkpoint_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert (record.seed, record.clusters) == (5, "refit")
    assert record.torch.partition("+")[0] == version("torch").partition("+")[0]  # of the build not all wheels tell
    assert record.numpy == np.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.created)
    assert found.notes == ()
    assert unhashed.provenance.cube_sha256 == ""
    assert unhashed.provenance.checkpoint_sha256 != ""
    assert "cube.npy was not hashed: it is larger than" in unhashed.notes[0]
