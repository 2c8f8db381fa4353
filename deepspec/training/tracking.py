"""Shows a run on a tracking service while it trains; metrics.csv stays the source of truth.

Nothing here decides anything: a run with tracking ends with the same weights as one without, also if the service fails.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import yaml
from lightning.pytorch.callbacks import Callback

from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.training.clustering_callback import ikmeans_of
from deepspec.training.tracking_config import WATCHED, TrackingConfig

if TYPE_CHECKING:
    from pathlib import Path

    import lightning
    from matplotlib.figure import Figure

    from deepspec.training.epoch_log import EpochLog
    from deepspec.training.spectral_module import SpectralModule
    from deepspec.training.wandb_run import WandbRun
    from deepspec.training.watching import Sight, WatchedCube


class Tracking(Callback):
    """Sends what a run logs and finds to the tracking service; on rank 0 only.

    Args:
        config: what the user wants.
        run_dir: of the run; it keeps the service's own files and its id of the run, by which a resumed run goes on.
        log: of the run. An epoch is sent when its row is complete, which is when the next one begins.
        model: that is going to be trained.

    Raises:
        UserError: the cube to watch or its reference cannot be used.
    """

    def __init__(self, config: TrackingConfig, run_dir: Path, log: EpochLog, model: SpectralModule) -> None:
        self._config, self._run_dir, self._log = config, run_dir, log
        self._watched: WatchedCube | None = None
        if config.active and config.cube is not None:
            from deepspec.training.watching import WatchedCube

            self._watched = WatchedCube(config.cube, config.reference, config.ignore, model)
        self._run: WandbRun | None = None
        self._sent = -1

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Open the run."""
        if not self._config.active or not trainer.is_global_zero:
            return
        from deepspec.training.wandb_run import WandbRun

        self._run = WandbRun(self._config, self._run_dir, yaml.safe_load(pl_module.run_config or "{}"))
        if self._run.has_earlier_epochs:
            self._sent = max((int(row["epoch"]) for row in self._log.rows), default=-1)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Send the epochs that have been completed; of this one a callback may have logged something already."""
        self._send_rows(before=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Warn of a collapse, and look at the cube if it is time."""
        if self._run is None:
            return
        epoch, ikmeans = trainer.current_epoch, ikmeans_of(trainer)
        if ikmeans.clustered_at == epoch:
            for sign in ikmeans.signs:
                self._run.alert("collapse", f"epoch {epoch}: {sign}")
        if self._config.every_n_epochs is not None and (epoch + 1) % self._config.every_n_epochs == 0:
            sight = self._look(pl_module)
            if sight is not None:
                pl_module.log_dict(sight.numbers(), rank_zero_only=True)
                self._run.log({"epoch": epoch}, {f"{WATCHED}/labels": sight.label_map()})

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Send the last epoch."""
        self._send_rows()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Send what there is, and say that the run failed."""
        self._send_rows()
        if self._run is not None:
            self._run.finish(failed=True)

    def finish(self, trainer: lightning.Trainer, model: SpectralModule, checkpoint: Path) -> None:
        """Send pictures of the result and the result itself, and close the run.

        Args:
            trainer: after training.
            model: with its final weights and clusters.
            checkpoint: its file.
        """
        if self._run is None:
            return
        figures: dict[str, Figure | Path] = {}
        report = None
        found = {"collapse_warnings": sum(float(row.get("ikmeans/warnings") or 0) for row in self._log.rows)}
        if int(model.clusters.count):
            from deepspec.reporting.training_figures import fit_figures

            ikmeans = ikmeans_of(trainer)
            figures |= fit_figures(model, ikmeans.latents(trainer, model), ikmeans.measured(model))
            sight = self._look(model, checkpoint)
            if sight is not None:
                report = sight.write(self._run_dir / WATCHED)
                figures |= {f"{WATCHED}/{path.stem}": path for path in sorted(report.parent.glob("*.png"))}
                found |= sight.numbers()
        self._run.log({"epoch": max(self._sent, 0)}, figures, report)
        self._run.summarise(found)
        if self._config.checkpoint:
            self._run.keep(checkpoint)
        self._run.finish(failed=False)

    def _send_rows(self, before: float = math.inf) -> None:
        if self._run is None:
            return
        for row in self._log.rows:
            if self._sent < int(row["epoch"]) < before:
                self._sent = int(row["epoch"])
                # What a resumed run read from its file are texts.
                self._run.log({name: float(value) for name, value in row.items() if value is not None})

    def _look(self, model: SpectralModule, checkpoint: Path | None = None) -> Sight | None:
        """The watched cube as the model sees it now; None without one, or if it cannot be segmented."""
        if self._watched is None or not int(model.clusters.count):
            return None
        try:
            return self._watched.look(model, checkpoint)
        except (UserError, OSError) as error:
            note(f"tracking: {self._config.cube} was not segmented: {error}")
            return None
