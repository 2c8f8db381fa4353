"""What data are taken for, and the experiment that suits them.

Shapes: C channels, n spectra of a sample.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.clustering.counts import EMPTY
from deepspec.data.pixels import dead_pixels
from deepspec.errors import UserError
from deepspec.training.recommended import recommended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from deepspec.axis import SpectralAxis
    from deepspec.data.cube import SpectralCube

_ROWS = 16
_LOOKED_AT = 2**22
"""Values that are looked at."""

WHOLE_IMAGE = "hyperspectral"
"""The experiment that is trained on all pixels: blocks set apart for validation are not like the rest of a small scene
(see its file)."""


@dataclass(frozen=True)
class Kind:
    """What data are taken for."""

    experiment: str
    """The preset of the experiment that suits them."""
    name: str
    """In a word or two, such as "counts"."""
    why: str
    """How it was told."""

    @property
    def sentence(self) -> str:
        """For the user: what they are taken for, why, and what follows."""
        return f"taken for {self.name} ({self.why}), so trained by the experiment {self.experiment}"


def split_for(experiment: object) -> tuple[float, float, float] | None:
    """Shares of training, validation and test that an experiment was measured with; None: those of `ingest`.

    Args:
        experiment: name of a preset, path of a YAML file of that name, or anything else.
    """
    named = isinstance(experiment, (str, os.PathLike)) and Path(experiment).stem == WHOLE_IMAGE
    return (1.0, 0.0, 0.0) if named else None


def kind_of(cube: SpectralCube) -> Kind:
    """Look at some spectra of a cube, and at its axis.

    Raises:
        UserError: none of the spectra that were looked at holds anything.
    """
    return kind_of_spectra(sample_of(cube), cube.axis, cube.dtype)


def kind_of_spectra(x_nC: NDArray[Any], axis: SpectralAxis, dtype: np.dtype[Any]) -> Kind:
    """What spectra are taken for, by their axis where it says enough, else by their values.

    Over wavelengths the sampling tells emission lines from reflectance (`recommended`). Values of 0 and more over
    energies are counts, as `fit` takes them. Without an axis whole numbers of 0 and more, 1 % of which are 0, are
    counts, and all else is reflectance, whose preprocessing sees each spectrum in several scalings.

    Args:
        x_nC: some of them, finite.
        axis: theirs.
        dtype: as they are stored.
    """
    lowest = float(x_nC.min())
    whole = bool(x_nC.dtype.kind in "iub" or (x_nC == np.round(x_nC)).all())
    if axis.unit == "keV":
        if lowest >= 0:
            return Kind("xrf", "counts", "counts over energy" if whole else "values of 0 and more over energy")
        return Kind("hyperspectral", "spectra with a background taken away", f"values down to {lowest:.4g} over energy")
    if axis.unit != "channel":
        name, why = recommended(axis, dtype)
        return Kind(name, "a cube of emission lines" if name == "nebulae" else "reflectance", why)
    zeros = float((x_nC == 0).mean())
    if lowest >= 0 and whole and zeros >= EMPTY:
        return Kind("xrf", "counts", f"no axis; whole numbers of 0 and more, {100 * zeros:.0f} % of them 0")
    values = "whole numbers" if whole else "numbers that are no counts"
    return Kind("hyperspectral", "reflectance", f"no axis; {values} from {lowest:.4g} to {float(x_nC.max()):.4g}")


def kind_of_all(cubes: Sequence[SpectralCube]) -> Kind:
    """What several scans of one object are taken for.

    Raises:
        UserError: they are not of one kind.
    """
    kinds = [kind_of(cube) for cube in cubes]
    for cube, kind in zip(cubes, kinds, strict=True):
        if kind.experiment != kinds[0].experiment:
            raise UserError(
                f"expected scans of one kind, got {cubes[0].path} taken for {kinds[0].name} ({kinds[0].why}) and "
                f"{cube.path} for {kind.name} ({kind.why}): map them apart, or say with experiment how to train"
            )
    return kinds[0]


def sample_of(cube: SpectralCube) -> NDArray[Any]:
    """(n, C) usable spectra of some rows spread over a cube.

    Raises:
        UserError: there is none in the whole cube.
    """
    rows, columns, channels = cube.shape
    most = min(_ROWS, max(1, _LOOKED_AT // (columns * channels)))
    for starts in (np.unique(np.linspace(0, rows - 1, most).round().astype(int)), range(rows)):
        found = []
        for start in starts:
            x_WC = cube.read_rows(int(start), int(start) + 1)[0]
            own_nC = x_WC[cube.mask[start] & ~dead_pixels(x_WC)]
            if len(own_nC):
                found.append(own_nC)
            if sum(part.size for part in found) >= _LOOKED_AT:
                break
        if found:
            return np.concatenate(found)
    cube.find_dead()  # raises, and names the channels that are to blame
    raise UserError(f"{cube.path or 'the cube'}: no pixel has a usable spectrum")
