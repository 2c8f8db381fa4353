"""What is attacked: commands in a small folder, what survives a kill, and what the same command then gives."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import suppress
from pathlib import Path  # noqa: TC003

import numpy as np
import torch
import yaml

from deepspec.axis import SpectralAxis
from deepspec.clustering import structure
from deepspec.data.shards.manifest import MANIFEST, ShardSet
from deepspec.data.shards.writer import ShardWriter, clear_unfinished
from deepspec.files import recover_folder
from deepspec.models.spectral_model import read_checkpoint
from deepspec.segmentation import Segmentation
from tests.conftest import planted_spectra
from tests.support.planted import AXIS, planted_cube, planted_rates


class Case:
    """One command, in a folder that is its current one."""

    args: tuple[str, ...] = ()

    def prepare(self, folder: Path) -> None:
        """Make the files that the command needs."""

    def command(self) -> None:
        """Run it in this process."""
        raise NotImplementedError

    def survives(self, folder: Path) -> None:
        """Fail if what was finished before the command is gone, after it was killed."""

    def result(self, folder: Path) -> object:
        """What it leaves, to be compared with what it leaves without a fault."""
        raise NotImplementedError

    def strays(self, folder: Path) -> list[str]:
        """Files that should not be there."""
        return [
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.name.endswith((".part", ".old")) or path.name.startswith((".partial", ".replaced"))
        ]


class Ingest(Case):
    """A cube to shards."""

    args = ("scan.npy", "--out", "out", "--split", "0.8", "0.2", "0", "--rows_per_shard", "1024")

    def prepare(self, folder):
        np.save(folder / "scan.npy", np.random.default_rng(0).poisson(3, (40, 60, 16)).astype(np.uint16) + 1)

    def command(self):
        from deepspec.ingest import main

        main(list(self.args))

    def result(self, folder):
        ShardSet(folder / "out").verify()
        return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()}


class IngestAgain(Ingest):
    """The same over an older set."""

    args = (*Ingest.args, "--overwrite")

    def prepare(self, folder):
        super().prepare(folder)
        with ShardWriter(folder / "out", SpectralAxis.linear(0, 1, 5, "channel"), "uint16", 3) as writer:
            for split in ("train", "val", "test"):
                writer.write(split, np.ones((20, 5), np.uint16), np.zeros((20, 3), np.int32))

    def survives(self, folder):
        clear_unfinished(folder / "out", MANIFEST)
        ShardSet(folder / "out").verify()


class Segment(Case):
    """A cube to a folder of results."""

    args = (
        "scan.npy",
        "--axis",
        "1:15.75:keV",
        "--checkpoint",
        "model.ckpt",
        "--out",
        "result",
        "--export",
        "csv,tiff",
    )

    def prepare(self, folder):
        from deepspec.models import NetworkConfig
        from deepspec.training.module import DeepClustering
        from tests.test_segment import save_checkpoint

        cube, _ = planted_cube(counts=20_000)
        np.save(folder / "scan.npy", cube.read_rows(0, 24))
        torch.manual_seed(0)
        model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"])
        model.clusters.set(model.eval().encode(torch.from_numpy(planted_rates(counts=20_000).astype(np.float32))))
        save_checkpoint(model, folder / "model.ckpt")

    def command(self):
        from deepspec.reporting import outputs
        from deepspec.segment import main

        structure.NULL_DRAWS, structure.FRESH_DRAWS = 2, 1
        outputs.save_figures = two_figures  # to draw them all takes seconds each time
        main(list(self.args))

    def result(self, folder):
        labels = Segmentation.load(folder / "result" / "segmentation.h5").labels
        return labels.tolist(), sorted(path.name for path in (folder / "result").iterdir())


class SegmentAgain(Segment):
    """The same over an older result."""

    args = (*Segment.args, "--overwrite")

    def prepare(self, folder):
        super().prepare(folder)
        quietly_in(folder, lambda: Segment().command())

    def survives(self, folder):
        recover_folder(folder / "result")
        self.result(folder)


def two_figures(segmentation, out, scale, *, labels, formats, exports):
    paths = [out / name for name in ("labels.png", "spectra.png")]
    for path in paths:
        path.write_bytes(b"picture" * 10_000)
    return paths


class Fit(Case):
    """A run of three epochs, as a scheduler starts it again and again."""

    args = (
        "--data.root", "shards", "--run_dir", "run", "--trainer.max_epochs", "3", "--ckpt_path", "last",
        "--model.network.encoder", "[16]", "--model.network.decoder", "[16]", "--model.network.output", "linear",
        "--model.preprocess", "[sqrt, max]", "--data.batch_size", "128",
        "--trainer.accelerator", "cpu", "--ikmeans.sample", "200",
    )  # fmt: skip

    def prepare(self, folder):
        with ShardWriter(folder / "shards", SpectralAxis.linear(0.5, 0.5, 64, "keV"), "uint16", seed=0) as writer:
            for split, n in (("train", 500), ("val", 200)):
                writer.write(split, planted_spectra(n, seed=n)[0], np.zeros((n, 3), dtype=np.int32))

    def command(self):
        from deepspec.fit import main

        main(list(self.args))

    def survives(self, folder):
        for path in (folder / "run").glob("checkpoints/*.ckpt"):
            read_checkpoint(path)

    def result(self, folder):
        with (folder / "run" / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert all(all(row.values()) for row in rows), "an empty cell"
        weights = read_checkpoint(folder / "run" / "model.ckpt")["state_dict"]
        names = sorted(str(path.relative_to(folder / "run")) for path in (folder / "run").rglob("*"))
        return names, rows, _plain(weights)


def _plain(state):
    """Nested values of a checkpoint as what JSON can write."""
    if isinstance(state, torch.Tensor):
        return state.tolist()
    if isinstance(state, dict):
        return {str(name): _plain(value) for name, value in state.items()}
    return [_plain(value) for value in state] if isinstance(state, (list, tuple)) else state


class FitAgain(Fit):
    """The same over an older run that is finished."""

    args = (*(arg for arg in Fit.args if arg not in ("--ckpt_path", "last")), "--overwrite", "true")

    def prepare(self, folder):
        super().prepare(folder)
        quietly_in(folder, lambda: Fit().command())

    def survives(self, folder):
        found = [folder / "run" / "model.ckpt", folder / "run" / ".replaced" / "model.ckpt"]
        whole = [path for path in found if path.exists()]
        assert whole, "neither the old nor the new model is there"
        for path in whole:
            read_checkpoint(path)


class Sweep(Case):
    """Three trials of a fit that takes a tenth of a second."""

    def prepare(self, folder):
        from tests.sweeping.conftest import FakeSweep

        FakeSweep(folder).write(sampler={"kind": "random"})
        file = folder / "sweep.yaml"
        file.write_text(file.read_text().replace(f"{folder}/", ""))  # for copies of the folder

    def command(self):
        from tests.sweeping import fake_sweep

        sys.argv = ["sweep", "--config", "sweep.yaml"]
        fake_sweep.main()

    def result(self, folder):
        with (folder / "study" / "trials.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
        yaml.safe_load((folder / "study" / "best.yaml").read_text())
        assert (folder / "study" / "report.html").stat().st_size > 1000
        return len(rows)

    def strays(self, folder):
        return [name for name in super().strays(folder) if not name.startswith("study/trials/")]


CASES = {
    "ingest": Ingest,
    "ingest-overwrite": IngestAgain,
    "segment": Segment,
    "segment-overwrite": SegmentAgain,
    "fit": Fit,
    "fit-overwrite": FitAgain,
    "sweep": Sweep,
}


def quietly_in(folder, work):
    """Do something with a folder as the current one."""
    import contextlib
    import io

    quiet = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):  # noqa: SIM117
        with suppress(SystemExit):
            work()


def as_text(found: object) -> str:
    """A result as a text that can be compared, whatever it holds."""
    return json.dumps(found, default=lambda value: value.hex())
