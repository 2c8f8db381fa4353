"""The folder of a training run, wherever a checkpoint is asked for."""

from __future__ import annotations

from pathlib import Path

MODEL = "model.ckpt"
"""The name of the trained model in its run folder."""


def model_file(path: str | Path) -> Path:
    """The checkpoint that a path means: that of a run folder which has one, else the path itself."""
    path = Path(path)
    inside = path / MODEL
    return inside if path.is_dir() and inside.is_file() else path
