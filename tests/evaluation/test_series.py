"""Several segmentations against one reference, and the noise that was added to their cubes."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError
from deepspec.evaluation import Reference, compare_segmentations
from deepspec.evaluation.series import Noise, read_noise, series_summary, write_series
from deepspec.segmentation import BaselineRecord
from deepspec.synthetic import degrade
from deepspec.synthetic.cube_files import write_degraded
from tests.evaluation.made import bands, segmentation

REFERENCE = Reference(bands().astype(np.int64), ("a", "b", "c"), "truth.npy", "labels", notes=("a note",))


def worse(columns):
    return np.roll(bands(), columns, axis=1)


def of_cube(cube, columns=0, method=None):
    found = segmentation(worse(columns))
    record = None if method is None else BaselineRecord(method, "[]", 100)
    provenance = dataclasses.replace(found.provenance, cube=str(cube), checkpoint="runs/net/model.ckpt")
    return dataclasses.replace(found, provenance=provenance, baseline=record)


@pytest.fixture
def cubes(tmp_path):
    """Files of one cube at two levels of noise."""
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 100, (20, 30, 8)).astype(np.float32)
    made = {}
    for level in (0.0, 0.3):
        made[level] = degrade(clean + rng.normal(0, 1, clean.shape).astype(np.float32), clean, level)
        write_degraded(tmp_path / f"scan-{level:g}.h5", made[level], SpectralAxis.linear(0, 1, 8, "keV"), None, {})
    return made


def test_noise_is_read_from_the_cubes(cubes, tmp_path):
    noise = read_noise(tmp_path / "scan-0.3.h5")
    assert noise == Noise(0.3, cubes[0.3].psnr, cubes[0.3].psnr_before, cubes[0.3].added_sd)
    (tmp_path / "other.npy").write_bytes(b"no HDF5")
    assert read_noise(tmp_path / "other.npy") is None
    segmentation().save(tmp_path / "segmentation.h5")
    assert read_noise(tmp_path / "segmentation.h5") is None


def test_each_is_compared_and_written(cubes, tmp_path):
    given = [
        ("s0", of_cube(tmp_path / "scan-0.h5")),
        ("s3", of_cube(tmp_path / "scan-0.3.h5", 2)),
        ("p3", of_cube(tmp_path / "scan-0.3.h5", 5, "pca")),
        ("gone", of_cube(tmp_path / "gone.h5")),
    ]
    entries, notes = compare_segmentations(given, REFERENCE)
    assert [entry.evaluation.method for entry in entries] == ["net (refit)", "net (refit)", "pca", "net (refit)"]
    assert [entry.noise and entry.noise.level for entry in entries] == [0.0, 0.3, 0.3, None]
    for entry, columns in zip(entries, (0, 2, 5, 0), strict=True):
        share = (worse(columns) == bands()).mean()
        assert entry.evaluation.agreement.overall_accuracy == pytest.approx(share)
        assert entry.evaluation.criteria is None
    assert notes[0] == "a note"
    assert "gone: whether noise was added is not known" in notes[1]
    write_series(entries, notes, REFERENCE, tmp_path)
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["level"] for row in rows] == ["0.0", "0.3", "0.3", ""]
    assert float(rows[1]["weighted_f1"]) == pytest.approx(entries[1].evaluation.agreement.weighted["f1"])
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["segmentations"][3]["psnr"] is None
    assert content["segmentations"][2]["method"] == "pca"
    assert content["reference"]["classes"] == ["a", "b", "c"]
    lines = series_summary(entries, notes)
    assert lines[1].split()[:3] == ["0", "3", "1.000"]
    assert lines[3].endswith("pca, p3")
    assert lines[-2] == "note: a note"


def test_cubes_that_were_moved_are_found_in_their_folder(cubes, tmp_path):
    (entry,), notes = compare_segmentations([("s", of_cube("gone/scan-0.3.h5"))], REFERENCE, cubes=str(tmp_path))
    assert entry.noise.level == 0.3
    assert notes == ("a note",)


def test_sizes_must_fit(tmp_path):
    small = dataclasses.replace(REFERENCE, labels=np.zeros((10, 15), np.int64))
    with pytest.raises(UserError, match=r"truth.npy has 10 x 15 pixels, the segmentation 20 x 30"):
        compare_segmentations([("s", segmentation())], small)
    (entry,), _ = compare_segmentations([("s", segmentation())], small, resample=True)
    assert entry.evaluation.agreement.points == 600
