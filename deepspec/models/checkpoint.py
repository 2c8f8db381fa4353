"""Reading checkpoints: tensors and plain types, never code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from deepspec.clustering import ClustererConfig
from deepspec.errors import UserError

FORMAT = "deepspec-checkpoint"
"""The entry of a checkpoint that holds what is not weights."""

TRAINING_ONLY = "deep_baseline."
"""How the names of weights begin that training needs and the use of a model does not."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a deepspec checkpoint: tensors and plain types only.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of deepspec.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; `fit` writes model.ckpt into its run folder")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types on a file that is no checkpoint
        raise UserError(f"{path}: expected a checkpoint, got a file that cannot be read as one ({error})") from error
    if not isinstance(content, dict) or FORMAT not in content:
        raise UserError(f"{path}: expected a checkpoint written by deepspec.fit, got another kind of file")
    found: dict[str, Any] = content
    return found


def trained_range(content: dict[str, Any]) -> tuple[int, int] | None:
    """Fewest and most clusters that the run of a checkpoint looked for; None where it has no configuration of `fit`."""
    config = yaml.safe_load(content[FORMAT]["config"]) or {}
    ikmeans = config.get("ikmeans") or {}
    return (ikmeans["k_min"], ikmeans["k_max"]) if {"k_min", "k_max"} <= set(ikmeans) else None


def trained_clusterer(content: dict[str, Any]) -> ClustererConfig | None:
    """What divided the latents of the run of a checkpoint; None where it has no configuration of `fit` that says so."""
    config = yaml.safe_load(content[FORMAT]["config"]) or {}
    found = config.get("clusterer")
    return ClustererConfig(**found) if found else None
