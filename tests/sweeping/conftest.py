"""A sweep over an experiment that takes a tenth of a second."""

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

FAKE = Path(__file__).with_name("fake_sweep.py")
ROOT = Path(__file__).parents[2]

EXPERIMENT = {
    "seed_everything": 0,
    "run_dir": "runs/fake",
    "keep": "best",
    "model": {"x": 0.0, "y": 0.0, "kind": "good", "seconds": 0.0},
    "trainer": {"max_epochs": 2, "devices": "auto", "accelerator": "cpu", "limit_val_batches": None},
}


class FakeSweep:
    """A sweep file in a folder of its own, and the command that runs it."""

    def __init__(self, folder):
        self.folder = folder
        self.study_folder = folder / "study"
        (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))

    def write(self, **more):
        settings = {
            "study": str(self.study_folder),
            "experiment": str(self.folder / "experiment.yaml"),
            "search": {"model.x": {"type": "float", "low": 0.0, "high": 4.0}},
            "objectives": {"val/target": "minimize"},
            "trials": 3,
        }
        (self.folder / "sweep.yaml").write_text(yaml.safe_dump({**settings, **more}, sort_keys=False))

    def start(self, *args, **variables):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
        command = [sys.executable, str(FAKE), "--config", str(self.folder / "sweep.yaml"), *args]
        return subprocess.Popen(
            command, env=environment, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, *args, code=0, **variables):
        process = self.start(*args, **variables)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == code, output
        return output

    def study(self):
        backend = optuna.storages.journal.JournalFileBackend(str(self.study_folder / "journal.log"))
        storage = optuna.storages.journal.JournalStorage(backend)
        return optuna.load_study(study_name="study", storage=storage)


@pytest.fixture
def fake(tmp_path):
    return FakeSweep(tmp_path)
