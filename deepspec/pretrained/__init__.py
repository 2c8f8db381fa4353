"""The ready models that come with deepspec, by name: `pretrained:xrf`. Each has a card beside it, NAME.md."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deepspec.errors import UserError, did_you_mean

FOLDER = Path(__file__).parent
"""Where their files are."""

PREFIX = "pretrained:"
"""Before a name it says that a model of deepspec's own is meant, wherever a checkpoint is asked for."""

SHA256 = {"xrf": "37a0d43b2c967ba272ca52f3bda0bf9170fa2667cdb2690714a4f012c359eb6e"}
"""Of each model's file, NAME.ckpt in `FOLDER`, in hexadecimal: weights that were changed are not used."""


def is_ready_model(path: str | Path) -> bool:
    """Whether a checkpoint is given by the name of a ready model.

    >>> is_ready_model("pretrained:xrf"), is_ready_model("runs/scan")
    (True, False)
    """
    return str(path).startswith(PREFIX)


def ready_model(given: str | Path) -> Path:
    """The checkpoint of a ready model, compared with its SHA-256.

    Args:
        given: its name, with `pretrained:` before it.

    Raises:
        UserError: there is none of this name, it is missing from the installation, or it is not the file that deepspec
            was released with.
    """
    name = str(given).removeprefix(PREFIX)
    if name not in SHA256:
        hint = did_you_mean(name, SHA256)
        raise UserError(f"{given}: no ready model of that name{hint}; ready models: {', '.join(SHA256)}")
    path = FOLDER / f"{name}.ckpt"
    if not path.is_file():
        raise UserError(f"{given}: this copy of deepspec lacks {path}: install deepspec again")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[name]:
        raise UserError(
            f"{given}: expected SHA-256 {SHA256[name][:12]}..., got {found[:12]}...: {path} was changed or damaged; "
            "install deepspec again"
        )
    return path


def name_of(checkpoint: str | Path) -> str | None:
    """The name of a ready model, `pretrained:` before it, from its file in this installation; None of another file."""
    path = Path(checkpoint)
    return f"{PREFIX}{path.stem}" if path.parent == FOLDER and path.stem in SHA256 else None
