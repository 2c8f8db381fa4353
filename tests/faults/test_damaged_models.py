"""A flipped bit in a model, a stored array or a segmentation is found before anything is made of it."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import torch

from deepspec.data.cube import read_cube
from deepspec.data.fingerprint import read_request, write_request
from deepspec.data.hdf5_file import check_seal
from deepspec.data.spectra_file import open_spectra
from deepspec.errors import UserError
from deepspec.models import SpectralModel
from deepspec.models.spectral_model import FORMAT, read_checkpoint
from deepspec.segmentation import Segmentation, segment_cube
from deepspec.workers.job import kept_result
from tests.support.planted import LinearModel, planted_cube


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model as `fit` writes it, and its file."""
    settings = {
        "axis": {"values": [float(i) for i in range(16)], "unit": "channel"},
        "network": {"kind": "mlp", "latent": 3},
        "preprocess": ["max"],
        "max_clusters": 4,
    }
    torch.manual_seed(0)
    from deepspec.models.config import NetworkConfig

    model = SpectralModel(settings["axis"], NetworkConfig(**settings["network"]), ["max"], 4)
    part = {"version": 1, "settings": settings, "config": "ikmeans: {}\n", "seed": 0}
    content = {"state_dict": model.state_dict(), FORMAT: part}
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    torch.save(content, path)
    return path


def flipped(content, place, bit):
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    return bytes(damaged)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def test_no_flipped_bit_of_a_checkpoint_is_used(tmp_path, checkpoint):
    content, whole = checkpoint.read_bytes(), read_checkpoint(checkpoint)
    rng = np.random.default_rng(0)
    said = []
    for place in rng.choice(len(content), 300, replace=False):
        path = tmp_path / "model.ckpt"
        path.write_bytes(flipped(content, place, int(rng.integers(8))))
        try:
            found = read_checkpoint(path)
        except UserError as error:
            said.append(str(error))
            continue
        assert same(found, whole), f"byte {place}"  # such as one of the bytes that only fill up
    assert len(said) > 150
    assert all("model.ckpt" in text and "\n" not in text for text in said)


def test_each_weight_is_guarded(tmp_path, checkpoint):
    with zipfile.ZipFile(checkpoint) as archive:
        for member in archive.infolist():
            if "/data/" not in member.filename or not member.file_size:
                continue
            with checkpoint.open("rb") as file:
                file.seek(member.header_offset + 26)
                names = np.frombuffer(file.read(4), "<u2")
            start = member.header_offset + 30 + int(names.sum())
            path = tmp_path / "model.ckpt"
            path.write_bytes(flipped(checkpoint.read_bytes(), start + member.file_size // 2, 6))
            with pytest.raises(UserError, match="damaged archive, its content does not match its checksums"):
                SpectralModel.load(path)


@pytest.mark.parametrize("part", ["settings", "config", "network", "weight"])
def test_a_checkpoint_without_a_part_is_one_line(tmp_path, checkpoint, part):
    content = torch.load(checkpoint, weights_only=True)
    if part == "weight":
        del content["state_dict"][next(iter(content["state_dict"]))]
    elif part == "network":
        del content[FORMAT]["settings"]["network"]
    else:
        del content[FORMAT][part]
    torch.save(content, tmp_path / "model.ckpt")
    with pytest.raises(UserError, match=r"model.ckpt: the checkpoint lacks a part") as caught:
        SpectralModel.load(tmp_path / "model.ckpt")
    assert "\n" not in str(caught.value)


def test_no_flipped_bit_of_a_stored_array_is_used(tmp_path):
    cube = np.random.default_rng(1).poisson(5, (6, 4, 40)).astype(np.uint16)
    stream = io.BytesIO()
    np.savez(stream, counts=cube)
    spectra = tmp_path / "whole.pt"
    torch.save(torch.from_numpy(cube.reshape(24, 40).astype(np.float32)), spectra)
    rng = np.random.default_rng(2)
    for content, name in ((stream.getvalue(), "cube.npz"), (spectra.read_bytes(), "spectra.pt")):
        refused = 0
        for place in rng.choice(len(content), 150, replace=False):
            path = tmp_path / name
            path.write_bytes(flipped(content, place, int(rng.integers(8))))
            try:
                if name == "cube.npz":
                    with read_cube(path) as opened:
                        found = opened.read_rows(0, opened.shape[0])
                else:
                    tables = open_spectra(path)
                    found = None if tables is None else tables[0].read_rows(0, 24)
            except UserError:
                refused += 1
                continue
            if found is not None:
                np.testing.assert_array_equal(found.reshape(24, 40), cube.reshape(24, 40))
        assert refused > 100


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    cube, _ = planted_cube()
    path = tmp_path_factory.mktemp("segmentation") / "segmentation.h5"
    segment_cube(cube, LinearModel(cube), clusters="refit", k=(4, 4)).save(path)
    write_request(path, {"k": [4, 4]})
    return path


def test_no_flipped_bit_of_a_segmentation_is_used(tmp_path, segmentation):
    content = segmentation.read_bytes()
    check_seal(segmentation)
    assert Segmentation.load(segmentation).k == 4
    assert read_request(segmentation) == {"k": [4, 4]}
    path = tmp_path / "segmentation.h5"
    rng = np.random.default_rng(3)
    for place in [*range(80), *rng.choice(len(content), 150, replace=False)]:
        path.write_bytes(flipped(content, place, int(rng.integers(8))))
        with pytest.raises(UserError, match=r"segmentation\.h5"):
            Segmentation.load(path)
        with pytest.raises(UserError, match=r"segmentation\.h5"):
            kept_result(path, {"k": [4, 4]}, "a segmentation", overwrite=False)
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match="damaged"):
        Segmentation.load(path)


def test_a_segmentation_that_another_program_changed_is_refused(tmp_path, segmentation):
    path = tmp_path / "segmentation.h5"
    path.write_bytes(segmentation.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["k"] = 5
    with pytest.raises(UserError, match="does not match its checksum"):
        Segmentation.load(path)


@pytest.mark.parametrize(("name", "value"), [("labels", -5), ("labels", 99), ("sizes", 1)])
def test_a_segmentation_of_before_there_were_checksums_is_read_and_compared_with_itself(
    tmp_path, segmentation, name, value
):
    path = tmp_path / "old.h5"
    with h5py.File(segmentation) as sealed, h5py.File(path, "w") as old:
        old.attrs.update(sealed.attrs)
        for part in sealed:
            sealed.copy(part, old)
    assert (Segmentation.load(path).labels == Segmentation.load(segmentation).labels).all()
    with h5py.File(path, "r+") as old:
        old[name][(0,) * old[name].ndim] = value
    with pytest.raises(UserError, match=r"old.h5: damaged segmentation: (labels are|clusters have)"):
        Segmentation.load(path)
