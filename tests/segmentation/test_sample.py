import dataclasses

import numpy as np
import torch

from deepspec.segmentation import Segmentation, segment_cube
from deepspec.segmentation import spectra as spectra_module
from tests.support.planted import LinearModel, planted_cube, spoilt_cube


def test_sample_holds_what_the_model_makes_of_its_pixels(monkeypatch):
    monkeypatch.setattr(spectra_module, "SPECTRA", 20)
    cube, _, spoilt = spoilt_cube()
    model = LinearModel(planted_cube()[0])
    drawn = segment_cube(cube, model, clusters="refit", k=(4, 4), max_pixels_per_block=64).sample
    spectra = torch.from_numpy(cube.read_rows(0, 24).reshape(720, -1))[drawn.pixels]
    assert len(drawn.pixels) == 20
    assert (np.diff(drawn.pixels) > 0).all()
    assert not {row * 30 + column for row, column in spoilt} & set(drawn.pixels)
    np.testing.assert_allclose(drawn.input, spectra, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        decoded = model.decode(model.network.encode(model.preprocess(spectra)).mean_NL)
    np.testing.assert_allclose(drawn.reconstructed, decoded, rtol=1e-3, atol=1e-3)


def test_sample_does_not_depend_on_the_blocks():
    cube, _ = planted_cube()
    model = LinearModel(cube)
    one, other = (
        segment_cube(cube, model, clusters="refit", k=(4, 4), max_pixels_per_block=n).sample for n in (720, 31)
    )
    assert len(one.pixels) == 96
    np.testing.assert_array_equal(one.pixels, other.pixels)


def test_files_without_a_sample_are_read(tmp_path):
    cube, _ = planted_cube()
    found = segment_cube(cube, LinearModel(cube), clusters="refit", k=(4, 4))
    dataclasses.replace(found, sample=None, latents=None).save(tmp_path / "old.h5")
    assert Segmentation.load(tmp_path / "old.h5").sample is None
