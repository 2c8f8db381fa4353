"""Where a run is shown besides its folder, as plain values.

In a file of its own: to learn the types of these values jsonargparse runs what their file imports for type checkers,
and of what sends the values that is wandb, matplotlib and more, which takes seconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from deepspec.errors import UserError

WATCHED = "watched"
"""Folder within the run's, of the segmentation of the cube that was watched."""

RUN_ID = "wandb_run_id"
"""File in the run folder."""

TRACKED = (WATCHED, RUN_ID, "wandb")
"""What tracking leaves in a run folder."""


@dataclass(frozen=True)
class TrackingConfig:
    """Where a run is shown besides its folder.

    Args:
        kind: wandb (Weights & Biases), or null for none.
        mode: online; offline: into the run folder, for `wandb sync` later; disabled: not at all; auto: what $WANDB_MODE
            says, else online if there is an API key, and offline if not.
        project: name of the project on the service.
        group: name of the group that the run belongs to; the trials of a sweep get the study's name.
        name: name of the run; default that of the run folder.
        tags: tags of the run, to filter by.
        checkpoint: whether model.ckpt is uploaded as an artifact.
        cube: a scan that is segmented by the final model, into the folder `watched` of the run.
        reference: label map or picture of its size, to compare the clusters with.
        ignore: value of the label map that means no class, such as 0.
        every_n_epochs: how often the cube is segmented during the training as well; default only at its end.
    """

    kind: Literal["wandb"] | None = None
    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "deepspec"
    group: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    checkpoint: bool = True
    cube: str | None = None
    reference: str | None = None
    ignore: int | None = None
    every_n_epochs: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could only fail after the training.

        Raises:
            UserError: a package is missing, or a value is impossible or would have no effect.
        """
        if self.kind is None and (self.cube, self.reference, self.every_n_epochs) != (None, None, None):
            raise UserError(
                "tracking: a cube is watched for a tracking service: give --tracking.kind wandb too (with "
                "--tracking.mode offline it needs no account), or segment the cube after the training"
            )
        if not self.active:
            return
        if find_spec("wandb") is None:
            raise UserError("tracking: wandb is not installed: pip install wandb, or leave tracking.kind out")
        if self.cube is None and (self.reference is not None or self.every_n_epochs is not None):
            raise UserError(
                "tracking.reference and tracking.every_n_epochs need tracking.cube, the scan that is segmented: give "
                "it, or leave them out"
            )
        if self.every_n_epochs is not None and self.every_n_epochs < 1:
            raise UserError(f"tracking.every_n_epochs: expected at least 1, got {self.every_n_epochs}")

    @property
    def active(self) -> bool:
        """Whether there is anything to do."""
        mode = os.environ.get("WANDB_MODE") if self.mode == "auto" else self.mode
        return self.kind is not None and mode != "disabled"
