"""The pigment table: XRF spectra, rates, colours and palettes of the pigments of Italian choir books.

Computed once by `deepspec.synthetic.pigment_table`; reading it needs no atomic data library.

Shapes: P pigments, C channels, E emission energies.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.axis import SpectralAxis
from deepspec.errors import UserError, did_you_mean
from deepspec.synthetic.scanner import add_floor, channel_edges, response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

STORED_CHANNELS = 1024
CHANNELS = (512, 1024)
# Spread between parchments, as the sigma of the logarithm of what an element (by atomic number) emits:
# calcium varies with the liming, potassium, chlorine and iron with salts, water and handling.
PARCHMENT_SPREAD = {20: 0.3, 19: 0.5, 17: 0.5, 26: 0.5}


@dataclass(frozen=True)
class PigmentTable:
    """Spectra and colours of some pigments, in the order of `names`.

    Attributes:
        names: P names, for example "lead white".
        formulas: P chemical formulas.
        srgb: (P, 3) uint8 colours.
        palettes: for each pigment the numbers of the palettes (1 to 7) that contain it.
        spectra: (P, C) float64, counts per channel of one counted photon: each row sums to 1.
        rates: (P,) float64, counted photons relative to azurite under the same tube.
        edges: (C + 1,) channel edges in keV.
    """

    names: tuple[str, ...]
    formulas: tuple[str, ...]
    srgb: NDArray[np.uint8]
    palettes: tuple[tuple[int, ...], ...]
    spectra: NDArray[np.float64]
    rates: NDArray[np.float64]
    edges: NDArray[np.float64]

    @property
    def axis(self) -> SpectralAxis:
        """Channel centres in keV."""
        return SpectralAxis((self.edges[1:] + self.edges[:-1]) / 2, "keV")

    def index(self, name: str) -> int:
        """Position of a pigment.

        Raises:
            UserError: if no pigment has this name.
        """
        if name not in self.names:
            raise UserError(f"unknown pigment '{name}'{did_you_mean(name, self.names, otherwise='list')}")
        return self.names.index(name)

    def select(self, palette: int | Sequence[str]) -> PigmentTable:
        """The pigments of a palette.

        Args:
            palette: a number from 1 to 7, or names of pigments.

        Raises:
            UserError: if there is no such palette or pigment, or a name is given twice.
        """
        if isinstance(palette, int):
            chosen = [i for i, member in enumerate(self.palettes) if palette in member]
            if not chosen:
                raise UserError(f"palette {palette}: expected a number from 1 to 7 or a list of pigment names")
        else:
            chosen = [self.index(name) for name in palette]
            if not chosen or len(set(chosen)) < len(chosen):
                raise UserError(f"palette {list(palette)}: expected one or more pigment names, each once")
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            formulas=tuple(self.formulas[i] for i in chosen),
            srgb=self.srgb[chosen],
            palettes=tuple(self.palettes[i] for i in chosen),
            spectra=self.spectra[chosen],
            rates=self.rates[chosen],
        )


def load_pigments(
    channels: int = STORED_CHANNELS,
    *,
    fwhm_ev: float | None = None,
    parchment: np.random.Generator | None = None,
) -> PigmentTable:
    """Load the table of all pigments.

    Args:
        channels: 1024 (37.1 eV each) or 512 (exact sums of pairs), over 0.5 to 38.5 keV.
        fwhm_ev: detector resolution at Mn Ka (5.895 keV) in eV; default the stored 140 eV.
        parchment: draw one parchment: the calcium, potassium, chlorine and iron lines of the substrate vary
            log-normally around the table's, under all pigments alike.

    Raises:
        UserError: if the number of channels is neither, or the resolution is not physical (below 117 eV).
    """
    if channels not in CHANNELS:
        raise UserError(f"channels={channels}: the pigment table has {' or '.join(map(str, CHANNELS))} channels")
    description, arrays = stored_table()
    if fwhm_ev is None and parchment is None:
        spectra, rates = arrays["spectra"].astype(np.float64), arrays["rate"]
    else:
        fwhm = description["parameters"]["fwhm_mn_ev"] if fwhm_ev is None else fwhm_ev
        spectra, rates = _measure(arrays, fwhm, parchment)
    spectra = spectra.reshape(len(spectra), channels, -1).sum(axis=2)
    pigments = description["pigments"]
    return PigmentTable(
        names=tuple(p["name"] for p in pigments),
        formulas=tuple(p["formula"] for p in pigments),
        srgb=np.array([p["srgb"] for p in pigments], dtype=np.uint8),
        palettes=tuple(tuple(p["palettes"]) for p in pigments),
        spectra=spectra / spectra.sum(axis=1, keepdims=True),
        rates=rates,
        edges=channel_edges(channels),
    )


def palette_titles() -> dict[int, str]:
    """Where and when each palette was in use."""
    return {int(number): title for number, title in stored_table()[0]["palettes"].items()}


@lru_cache
def stored_table() -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Contents of `pigments.json`, and the arrays of `pigments.npz` by name."""
    folder = resources.files("deepspec.synthetic")
    description = json.loads(folder.joinpath("pigments.json").read_text())
    with folder.joinpath("pigments.npz").open("rb") as file, np.load(file) as archive:
        return description, dict(archive)


def _measure(
    arrays: dict[str, NDArray[Any]], fwhm_ev: float, parchment: np.random.Generator | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Send the stored emissions through a detector: unit spectra and rates."""
    emission_PE = arrays["emission"].astype(np.float64)
    if parchment is not None:
        for element, sigma in PARCHMENT_SPREAD.items():
            emission_PE[:, arrays["parchment"] & (arrays["element"] == element)] *= parchment.lognormal(0.0, sigma)
    edges = channel_edges(STORED_CHANNELS)
    try:
        spectra = emission_PE @ response(arrays["energy"], arrays["escape"], edges, fwhm_ev)
    except ValueError as error:
        raise UserError(f"fwhm_ev: {error}") from None
    return add_floor(spectra), spectra.sum(axis=1)
