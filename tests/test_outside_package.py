"""A package of somebody else's, found by its entry points, in the real commands: nothing of deepspec is touched."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepspec.data.cube import read_cube
from deepspec.errors import UserError
from deepspec.segmentation import Segmentation
from tests.support.planted import planted_cube

ROOT = Path(__file__).parents[1]

MODULE = '''
import numpy as np, torch
from sklearn.cluster import AgglomerativeClustering
from deepspec.clustering import Gaussians, Search
from deepspec.data.readers.stored import AxisCandidate, Stored
from deepspec.preprocess.step import Step

class Derivative(Step):
    """Differences of neighbouring channels."""
    def __init__(self, channels, factor=1.0):
        super().__init__(channels)
        self.factor = factor
    def forward(self, x_NC, own):
        return self.factor * torch.diff(x_NC, dim=1, prepend=x_NC[:, :1])

class Ward:
    def __init__(self, clusters=4):
        self.clusters = clusters
    def fit(self, z_NL, k=None, generator=None, spectra=None):
        some = torch.randperm(len(z_NL), generator=generator)[:500]
        labels = torch.from_numpy(AgglomerativeClustering(self.clusters).fit_predict(z_NL[some].numpy()))
        return Gaussians.of(z_NL[some], labels, self.clusters, search=Search(evidence="Ward's criterion"))

class LabFile:
    """A line of three numbers (rows, columns, channels) behind the word LAB, and uint16."""
    def recognises(self, path, head):
        return head.startswith(b"LAB ")
    def open(self, path, dataset, dims):
        head, _, numbers = path.read_bytes().partition(b"\\n")
        shape = tuple(int(n) for n in head.split()[1:4])
        axis = AxisCandidate("calibration", 1 + 0.25 * np.arange(shape[2]), "keV", "stated")
        return Stored([np.frombuffer(numbers, "<u2").reshape(shape)], str(path), spectral_dim=2, axes=[axis])

lab_file = LabFile()
'''
ENTRY_POINTS = """
[deepspec.steps]
derivative = labtools:Derivative
[deepspec.clusterers]
ward = labtools:Ward
[deepspec.readers]
LAB = labtools:lab_file
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that the package is installed in."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "labtools.py").write_text(MODULE)
    (folder / "labtools-1.0.dist-info").mkdir()
    (folder / "labtools-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: labtools\nVersion: 1.0\n")
    (folder / "labtools-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture
def run(site, tmp_path):
    def command(verb, *args, status=0):
        path = os.pathsep.join([str(site), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-m", f"deepspec.{verb}", *map(str, args)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return command


def lab_file(path):
    cube, labels = planted_cube()
    counts = cube.read_rows(0, cube.shape[0]).astype("<u2")
    path.write_bytes(b"LAB %d %d %d\n" % counts.shape + counts.tobytes())
    np.save(path.with_suffix(".npy"), labels.astype(np.int16))
    return path


@pytest.mark.slow
def test_a_reader_a_step_and_a_clusterer_go_through_every_verb(run, tmp_path):
    scan = lab_file(tmp_path / "scan.lab")
    (tmp_path / "exp.yaml").write_text(
        "model:\n  preprocess: [sqrt, {step: derivative, factor: .5}, {step: standard, scale: global}]\n"
        "  network: {encoder: [16], decoder: [16], output: linear}\n"
        "clusterer: {kind: ward, options: {clusters: 4}}\n"
        "ikmeans: {every_n_epochs: 0}\nkeep: last\nrun_dir: run\nloss_schedule: {gamma: {kind: constant, value: 0}}\n"
        "trainer: {max_epochs: 3, accelerator: cpu}\n"
    )
    run("ingest", scan, "--out", "shards", "--split", "0.8", "0.2", "0")
    assert "K = 4" in run("fit", "--config", "exp.yaml", "--data.root", "shards", "--data.batch_size", "64")
    run("segment", scan, "--checkpoint", "run", "--out", "frozen")
    run("segment", scan, "--checkpoint", "run", "--out", "refit", "--clusters", "refit", "--clusterer", "ward")
    run("baseline", "pca", scan, "--out", "pca", "--clusterer", "ward", "--preprocess", "[derivative]")
    run("evaluate", "frozen", "--reference", "scan.npy", "--refits", "2")
    assert (tmp_path / "frozen-evaluation" / "evaluation.json").is_file()
    for folder in ("frozen", "refit", "pca"):
        found = Segmentation.load(tmp_path / folder / "segmentation.h5")
        assert found.k == 4
        assert found.clustering.evidence == "Ward's criterion"
        assert "Ward" in (tmp_path / folder / "report.html").read_text()
    np.testing.assert_allclose(found.axis.values[:3], [1, 1.25, 1.5])


def test_what_the_package_does_not_take_is_refused_in_a_line(run, tmp_path):
    scan = lab_file(tmp_path / "scan.lab")
    for args, message in (
        (("--clusterer", "warp"), "no clusterer 'warp' (did you mean 'ward'?)"),
        (("--preprocess", "[{step: derivative, faktor: 2}]"), "unknown parameter 'faktor' (did you mean 'factor'?)"),
    ):
        said = run("baseline", "pca", scan, *args, status=2)
        assert message in said
        assert len(said.strip().splitlines()) == 1


def test_a_reader_that_is_registered_in_a_notebook(tmp_path):
    from deepspec.data.readers.stored import Stored
    from deepspec.data.readers.table import READERS

    class Plain:
        def recognises(self, path, head):
            return head.startswith(b"PLAIN")

        def open(self, path, dataset, dims):
            return Stored([np.frombuffer(path.read_bytes()[5:], "<f4").reshape(2, 3, 4)], str(path), spectral_dim=2)

    (tmp_path / "a.xyz").write_bytes(b"PLAIN" + np.arange(24, dtype="<f4").tobytes())
    with pytest.raises(UserError, match="unknown format, expected one of HDF5"):
        read_cube(tmp_path / "a.xyz")
    READERS.register("plain", Plain())
    try:
        with read_cube(tmp_path / "a.xyz") as cube:
            assert cube.shape == (2, 3, 4)
    finally:
        READERS.unregister("plain")
