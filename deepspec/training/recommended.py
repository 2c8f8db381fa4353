"""The experiment for a kind of data, for a `fit` that is given none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from deepspec.data.shards.manifest import ShardSet
from deepspec.errors import UserError
from deepspec.notes import note
from deepspec.presets import presets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepspec.axis import SpectralAxis

FINE = 500.0
"""Wavelength over channel width from which a spectrum can show emission lines: instruments that look for them sample at
1,500 or more (MUSE: 3,800 to 7,400), imaging spectrometers of reflectance at 40 to 250 (10 nm at 400 to 2,500 nm)."""


def recommended(axis: SpectralAxis, dtype: np.dtype[Any]) -> tuple[str, str]:
    """The name of the experiment for spectra, and how it was told.

    Args:
        axis: of the spectra.
        dtype: as stored; an integer type means counts.

    Raises:
        UserError: there is none for spectra of this kind.
    """
    counts = np.issubdtype(dtype, np.integer)
    if axis.unit == "keV" and counts:
        return "xrf", "counts over energy"
    if axis.unit in ("angstrom", "nm", "um"):
        sampling = float(np.median(np.abs(axis.values) / axis.widths()))
        if sampling >= FINE:
            return "nebulae", f"wavelengths as fine as emission lines (wavelength / channel {sampling:,.0f})"
        return "hyperspectral", f"wavelengths as coarse as reflectance (wavelength / channel {sampling:,.0f})"
    kind = "counts" if counts else "numbers that are no counts"
    raise UserError(
        f"no experiment is recommended for {kind} over {axis.label}: give --config with one of {', '.join(names())} or "
        "with a file, or the axis of the spectra to `ingest`"
    )


def names() -> list[str]:
    """The experiments that are recommended for some kind of data."""
    return [name for name in presets("experiments") if name in ("hyperspectral", "nebulae", "xrf")]


def with_recommended(args: Sequence[str]) -> list[str]:
    """A command line of `fit` with the recommended experiment in it, if it has none; which one is said.

    A command line that sets `model.preprocess` is an experiment of its own: preprocessing decides most.

    Raises:
        UserError: none is recommended for the data, or they cannot be read.
    """
    given = list(args)
    options = {word.partition("=")[0] for word in given if word.startswith("-")}
    root = _root(given)
    composed = any(option in ("--config", "-c", "--model", "--model.preprocess") for option in options)
    if composed or root is None:
        return given
    return ["--config", str(recommended_experiment(root)), *given]


def recommended_experiment(root: str) -> Path:
    """The file of the experiment that is recommended for a folder of shards; which one is said.

    Raises:
        UserError: none is, or the shards cannot be read.
    """
    shards = ShardSet(root)
    name, told = recommended(shards.axis, shards.dtype)
    path = presets("experiments")[name]
    note(f"no --config: {told}, so --config {name} ({path})")
    return path


def _root(args: Sequence[str]) -> str | None:
    """What the words say of `data.root`; the last counts."""
    root = None
    for word, following in zip(args, [*args[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        value = value if equals else following
        if option == "--data.root":
            root = value
        elif option == "--data":
            found = yaml.safe_load(value)
            root = found.get("root", root) if isinstance(found, dict) else root
    return root
