"""The scanner that the pigment table was computed for: a molybdenum tube and a silicon drift detector."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filter:
    """A sheet that photons pass: mass fractions by element, density in g/cm3, thickness in cm."""

    composition: dict[str, float]
    density: float
    thickness: float


_AIR = Filter({"N": 0.755, "O": 0.232, "Ar": 0.013}, 1.205e-3, 1.0)


@dataclass(frozen=True)
class Scanner:
    """Instrument parameters of the forward model; both angles to the surface are 45 degrees."""

    anode: str = "Mo"
    """Its K lines must lie below the tube voltage: Mo, Rh and Cr do at 40 kV."""
    kilovolt: float = 40.0
    anode_line_share: float = 0.35
    """Anode K photons as a share of the continuum's."""
    tube_filters: tuple[Filter, ...] = (Filter({"Be": 1.0}, 1.848, 127e-4), _AIR)
    detector_filters: tuple[Filter, ...] = (Filter({"Be": 1.0}, 1.848, 12.5e-4), _AIR)
    crystal: Filter = Filter({"Si": 1.0}, 2.33, 500e-4)  # frozen
    fwhm_mn_ev: float = 140.0
    """Nominal resolution at 5.895 keV."""
    channels: int = 1024


SCANNER = Scanner()
