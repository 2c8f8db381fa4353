"""Reading checkpoints: tensors and plain types, never code."""

from __future__ import annotations

import os
import pickle
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import yaml

from deepspec.clustering import ClustererConfig
from deepspec.data.archive_check import check_archive
from deepspec.errors import UserError, described
from deepspec.model_file import model_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = "deepspec-checkpoint"
"""The entry of a checkpoint that holds what is not weights."""

VERSION = 1
"""What `FORMAT` counts: it rises when a checkpoint changes so that an older deepspec would misread it."""

TRAINING_ONLY = "deep_baseline."
"""How the names of weights begin that training needs and the use of a model does not."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a deepspec checkpoint: tensors and plain types only, all of it compared with its checksums.

    Args:
        path: the file, or the run folder that `fit` wrote it into.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint of deepspec, or of a newer version.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f"expected the path of a checkpoint, got {described(path)}")
    path = model_file(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; `fit` writes model.ckpt into its run folder")
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: expected a checkpoint, got a file that cannot be read as one (no archive, or cut short)"
        )
    check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What torch says here advises to run the code in the file, which is never the cure.
        raise UserError(
            f"{path}: expected a checkpoint written by deepspec.fit, which holds tensors and plain values only; this "
            "file holds objects of a program or is damaged, and was not read: give the model.ckpt of a run of deepspec"
        ) from error
    except Exception as error:  # torch raises half a dozen types on a file that is no checkpoint
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: expected a checkpoint, got a file that cannot be read as one ({reason})") from error
    if not isinstance(content, dict) or FORMAT not in content:
        raise UserError(f"{path}: expected a checkpoint written by deepspec.fit, got another kind of file")
    check_version(content[FORMAT], path)
    found: dict[str, Any] = content
    return found


def check_version(part: Any, path: str | Path) -> None:
    """Refuse a checkpoint that this version of deepspec cannot read.

    Args:
        part: the entry `FORMAT` of a checkpoint.
        path: its file, for messages.

    Raises:
        UserError: the version is newer than `VERSION`, or there is none.
    """
    version = part.get("version") if isinstance(part, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UserError(
            f"{path}: expected a checkpoint with its version, got {version!r} in its place: it was changed or damaged"
        )
    if version > VERSION:
        raise UserError(
            f"{path}: a checkpoint of version {version}, which a newer deepspec wrote; this one reads {VERSION} and "
            "older: update deepspec (pip install --upgrade deepspec)"
        )


@contextmanager
def parts_of(path: str | Path) -> Iterator[None]:
    """Turn what is missing from a checkpoint, or does not fit together in it, into one error that names the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, yaml.YAMLError) as error:
        # A state_dict that does not fit is a RuntimeError of as many lines as there are weights.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path}: the checkpoint lacks a part, or one does not fit the others ({reason}): it was changed, or "
            "written by another version of deepspec"
        ) from error


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
