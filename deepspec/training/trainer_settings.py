"""What of Lightning's trainer a run cannot do is said before anything is read, and in one line."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""What the network may compute in; its weights, the preprocessing, the losses and the clusters are float32 in each."""

_SAME = {None: "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
"""Other names that Lightning has for these."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings of the trainer that could only fail later.

    Args:
        settings: the keys under `trainer`, where classes are still mappings with `class_path`.

    Raises:
        UserError: names the key, what it has to be, and what came.
    """
    given = settings["precision"]
    precision = _SAME.get(given if given is None else str(given), str(given))
    if precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision: expected {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got {given}: weights, "
            "preprocessing and clusters are float32"
        )
    if settings["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available() and not _apple(settings):
        raise UserError(
            f"trainer.accelerator: {settings['accelerator']} was asked for, but torch finds no GPU on this machine: "
            "give cpu or auto, or install a torch that was built for the GPU and its driver"
        )
    if settings["enable_checkpointing"] is False:
        raise UserError(
            "trainer.enable_checkpointing: expected true or null, got false: `keep` and `--ckpt_path last` need the "
            "checkpoints; --trainer.fast_dev_run true tries a run and writes nothing"
        )
    for key, instead in (("barebones", "fast_dev_run tries a run"), ("default_root_dir", "run_dir is the folder")):
        if settings[key]:
            raise UserError(f"trainer.{key}: expected it to be left out, got {settings[key]}: {instead}")
    callbacks = settings["callbacks"] or []
    for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
        _check_callback(callback["class_path"], callback.get("init_args") or {}, settings)


def shows_bar(settings: Mapping[str, Any], *, given: bool) -> bool:
    """Whether a bar of Lightning's is shown: where it is asked for, or one is given and standard error is a terminal.

    Args:
        settings: the keys under `trainer`.
        given: whether a progress bar is among the callbacks.
    """
    wanted: bool | None = settings["enable_progress_bar"]
    return given and sys.stderr.isatty() if wanted is None else wanted


def _apple(settings: Mapping[str, Any]) -> bool:
    """Whether `gpu` means that of an Apple computer, and there is one."""
    return settings["accelerator"] == "gpu" and torch.backends.mps.is_available()


def _check_callback(class_path: str, init_args: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    kind = _class_of(class_path)
    if kind is None:
        return
    name = kind.__name__
    if issubclass(kind, ProgressBar) and not shows_bar(settings, given=True):
        raise UserError(
            f"trainer.callbacks: {name} needs a terminal, which standard error is not here: leave it out (each epoch "
            "prints a line), or give --trainer.enable_progress_bar true"
        )
    if issubclass(kind, ModelCheckpoint) and init_args.get("monitor") is None:
        raise UserError(
            f"trainer.callbacks: {name} without monitor keeps the latest epoch, which the run has already "
            "(checkpoints/last.ckpt): leave it out, or give monitor, a column of metrics.csv such as "
            "train/reconstruction"
        )


def _class_of(class_path: str) -> type | None:
    """A class by its full name; None where the name is a function's, which builds something unknown."""
    module, _, name = class_path.rpartition(".")
    found = getattr(__import__(module, fromlist=[name]), name, None)
    return found if isinstance(found, type) else None


@contextmanager
def lightning_in_one_line(key: str, *more: type[Exception]) -> Iterator[None]:
    """Turn what Lightning refuses, and a package that one of its classes lacks, into one line.

    Args:
        key: of the configuration, for the message.
        more: further kinds of error that mean a wrong setting here.

    Raises:
        UserError: the first line of Lightning's error.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        link: BaseException | None = error  # what a class raises when it is built, jsonargparse wraps in ValueErrors
        while link is not None and not isinstance(link, (MisconfigurationException, ModuleNotFoundError, *more)):
            link = link.__cause__
        if link is None:
            raise
        # The lines after the first of a missing package tell of each of its alternatives.
        raise UserError(f"{key}: {str(link).strip().splitlines()[0]}") from error
