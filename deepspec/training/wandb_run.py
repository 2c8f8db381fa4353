"""One run on wandb: the only place that calls its client. What fails here is told in a line and never raised."""

from __future__ import annotations

import io
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL.Image
import wandb

from deepspec.notes import note
from deepspec.training.tracking_config import RUN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from deepspec.training.tracking_config import TrackingConfig

INIT_SECONDS, FINISH_SECONDS = 30, 300
"""How long the server may keep a run from beginning, and from ending: then it goes on offline, or ends without."""


class WandbRun:
    """Opens a run, or goes on with the one that the run folder knows of.

    Offline segments of one run do not merge: `wandb sync` replaces the earlier by the later. So a segment that the
    server does not continue is sent all epochs from the first, and is complete by itself.

    Args:
        config: what the user wants.
        run_dir: wandb's files go into its folder `wandb`.
        settings: the run's resolved configuration.
    """

    def __init__(self, config: TrackingConfig, run_dir: Path, settings: Mapping[str, Any]) -> None:
        self._run: wandb.Run | None = None
        mode, why = _mode(config)
        file = run_dir / RUN_ID
        name = file.read_text().strip() if file.is_file() else secrets.token_hex(4)
        file.write_text(f"{name}\n")
        if mode == "online":
            try:
                self._run = _open(config, run_dir, name, settings, offline=False)
            except Exception as error:  # noqa: BLE001  see _attempt
                why = f" ({_words(error)})"
                wandb.teardown()  # the client would hold the run's id for the attempt that failed
        try:
            self._run = self._run or _open(config, run_dir, name, settings, offline=True)
        except Exception as error:  # noqa: BLE001  see _attempt
            note(f"tracking: wandb does not start and the run goes on without it ({_words(error)})")
            return
        where = self._run.url or f"offline{why}; `wandb sync {self._run.settings.sync_dir}` uploads it"
        note(f"tracking: wandb run {name}, {where}")

    @property
    def has_earlier_epochs(self) -> bool:
        """Whether the server goes on with what an earlier part of the run has sent."""
        return self._run is not None and self._run.resumed

    def log(
        self, numbers: Mapping[str, float], figures: Mapping[str, Figure | Path] | None = None, page: Path | None = None
    ) -> None:
        """Send numbers of one epoch, with pictures and an HTML page.

        Args:
            numbers: by name, with `epoch`.
            figures: by name, as matplotlib has them or as PNG files.
            page: an HTML file that needs no other; it is shown as `report`.
        """

        def send(run: wandb.Run) -> None:
            media: dict[str, Any] = {name: _image(figure) for name, figure in (figures or {}).items()}
            if page is not None:
                media["report"] = wandb.Html(str(page), inject=False)
            run.log({**numbers, "epoch": int(numbers["epoch"]), **media})

        self._attempt(send)

    def alert(self, title: str, text: str) -> None:
        """Warn: the service sends it on as its user wants."""
        self._attempt(lambda run: run.alert(title, text, level="WARN", wait_duration=0))

    def summarise(self, numbers: Mapping[str, float]) -> None:
        """Numbers of the whole run."""
        self._attempt(lambda run: run.summary.update(dict(numbers)))

    def keep(self, file: Path) -> None:
        """Send a checkpoint as an artifact, of a version for each part of a resumed run."""

        def send(run: wandb.Run) -> None:
            artifact = wandb.Artifact(f"model-{run.id}", type="model")
            # The file stays where it is and as it is, so that no second copy need be kept for a later upload.
            artifact.add_file(str(file), policy="immutable")
            run.log_artifact(artifact)

        self._attempt(send)

    def finish(self, *, failed: bool) -> None:
        """Close the run; what has not been uploaded in some minutes stays in the run folder."""
        self._attempt(lambda run: run.finish(exit_code=int(failed)))
        self._run = None

    def _attempt(self, call: Callable[[wandb.Run], None]) -> None:
        if self._run is None:
            return
        try:
            call(self._run)
        except ConnectionError as error:
            note(f"tracking: wandb has died and the run goes on without it ({_words(error)})")
            self._run = None
            with suppress(ConnectionError):  # once more from the same cause; else it comes when the process ends
                wandb.teardown()
        except Exception as error:  # noqa: BLE001
            # Whatever it is: days of training must not end for a picture of them, and the client has no list of what
            # it raises: its own errors, those of a full disk, of a slow upload, of a server's new version.
            note(f"tracking: wandb has failed and the run goes on ({_words(error)})")


def _mode(config: TrackingConfig) -> tuple[str, str]:
    """Online or offline, and why if that was not asked for. Never asks anybody anything."""
    asked = os.environ.get("WANDB_MODE", "auto") if config.mode == "auto" else config.mode
    if asked == "offline":
        return "offline", ""
    wandb.setup(wandb.Settings(silent=True))
    try:
        known = wandb.login(prompt=False, verify=False)
    except wandb.Error:  # such as a key of an impossible form
        known = False
    return ("online", "") if known else ("offline", " (no API key: `wandb login`, or $WANDB_API_KEY)")


def _open(config: TrackingConfig, run_dir: Path, name: str, settings: Mapping[str, Any], *, offline: bool) -> wandb.Run:
    run = wandb.init(
        project=config.project,
        dir=str(run_dir.absolute()),
        id=name,
        name=config.name or os.environ.get("WANDB_NAME") or run_dir.absolute().name,
        group=config.group,
        tags=config.tags,
        config=dict(settings),
        mode="offline" if offline else "online",
        resume=None if offline else "allow",
        settings=wandb.Settings(
            silent=True,
            console="off",  # it would take over stdout
            init_timeout=INIT_SECONDS,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
        ),
    )
    run.define_metric("*", step_metric="epoch")
    return run


def _image(figure: Figure | Path) -> wandb.Image:
    if isinstance(figure, Path):
        return wandb.Image(str(figure))
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return wandb.Image(PIL.Image.open(stream))


def _words(error: Exception) -> str:
    """An error in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
