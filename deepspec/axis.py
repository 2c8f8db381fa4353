"""SpectralAxis: the calibrated positions of the channels of a spectrum, and how two of them compare."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Spellings found in files -> the name used here, and what one such unit is in that name's unit.
_SPELLINGS = {
    "kev": ("keV", 1.0),
    "ev": ("keV", 1e-3),
    "electronvolt": ("keV", 1e-3),
    "electronvolts": ("keV", 1e-3),
    "electron volt": ("keV", 1e-3),
    "electron volts": ("keV", 1e-3),
    "kiloelectronvolt": ("keV", 1.0),
    "kiloelectronvolts": ("keV", 1.0),
    "angstrom": ("angstrom", 1.0),
    "angstroms": ("angstrom", 1.0),
    "a": ("angstrom", 1.0),
    "å": ("angstrom", 1.0),
    "ångström": ("angstrom", 1.0),
    "ångströms": ("angstrom", 1.0),
    "ångstrom": ("angstrom", 1.0),
    "nm": ("nm", 1.0),
    "nanometer": ("nm", 1.0),
    "nanometers": ("nm", 1.0),
    "nanometre": ("nm", 1.0),
    "nanometres": ("nm", 1.0),
    "um": ("um", 1.0),
    "µm": ("um", 1.0),  # the micro sign
    "μm": ("um", 1.0),  # the Greek letter
    "micron": ("um", 1.0),
    "microns": ("um", 1.0),
    "micrometer": ("um", 1.0),
    "micrometers": ("um", 1.0),
    "micrometre": ("um", 1.0),
    "micrometres": ("um", 1.0),
    "m": ("um", 1e6),
    "meter": ("um", 1e6),
    "meters": ("um", 1e6),
    "metre": ("um", 1e6),
    "metres": ("um", 1e6),
    "pm": ("angstrom", 0.01),
    # Wavenumbers and Raman shifts; ENVI writes the quantity where others write the unit.
    **dict.fromkeys(
        ("1/cm", "cm-1", "cm^-1", "cm^{-1}", "cm**-1", "cm\u207b\u00b9", "cm\u22121", "/cm"), ("1/cm", 1.0)
    ),
    **dict.fromkeys(("1/centimeter", "wavenumber", "wavenumbers", "inverse centimeters"), ("1/cm", 1.0)),
    **dict.fromkeys(("1/m", "m-1", "m^-1"), ("1/cm", 0.01)),
    "channel": ("channel", 1.0),
    "channels": ("channel", 1.0),
    "": ("channel", 1.0),
}
_CASED = {"MeV": ("keV", 1e3), "meV": ("keV", 1e-6)}  # a million and a thousandth
_ANGSTROMS = {"angstrom": 1.0, "nm": 10.0, "um": 1e4}


def normalise_unit(unit: str) -> tuple[str, float]:
    """Name of `unit` used in deepspec and the factor that takes values to it.

    Args:
        unit: any common spelling of keV, eV, angstrom, nm, um, m, 1/cm or channel, in any case; see `find_unit`.

    Raises:
        UserError: for any other text.

    >>> normalise_unit("Micrometers"), normalise_unit("eV")
    (('um', 1.0), ('keV', 0.001))
    """
    found = find_unit(unit)
    if found is None:
        known = "keV, eV, angstrom, nm, um, 1/cm, channel"
        raise UserError(f"unknown unit '{unit}' of a spectral axis: write one of {known}")
    return found


def find_unit(text: str) -> tuple[str, float] | None:
    """Like `normalise_unit`, but None for what is no unit of a spectral axis.

    Beside the bare unit it understands a quantity with its unit, as instruments write it, and a number of units.

    >>> find_unit("Energy Loss (eV)"), find_unit("Wavelength / nm"), find_unit("0.1 nm"), find_unit("furlong")
    (('keV', 0.001), ('nm', 1.0), ('nm', 0.1), None)
    >>> find_unit("Raman shift (cm-1)"), find_unit("Wavenumber / cm-1")
    (('1/cm', 1.0), ('1/cm', 1.0))
    """
    text = text.strip()
    found = _CASED.get(text, _SPELLINGS.get(text.lower()))
    if found is not None:
        return found
    inner = re.search(r"[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*$", text) or re.search(
        r"(?:/|\bin)\s*([^\s/\d]+|1/cm|cm\^?\{?-1\}?)$", text
    )
    if inner is not None and re.match(r"[^\W\d]", text):
        return _CASED.get(inner[1], _SPELLINGS.get(inner[1].lower()))
    many = re.fullmatch(r"(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*\*?\s*([^\W\d]+)", text)
    if many is not None and float(many[1]) > 0 and (unit := _SPELLINGS.get(many[2].lower())) is not None:
        return unit[0], float(many[1]) * unit[1]
    return None


@dataclass(frozen=True, eq=False, repr=False)
class SpectralAxis:
    """Centre of each channel of a spectrum.

    Attributes:
        values: (C,) float64, finite and strictly increasing or decreasing.
        unit: "keV", "angstrom", "nm", "um", "1/cm" or "channel"; other spellings are normalised, eV becomes keV. A
            wavenumber is not turned into a wavelength: it may be a Raman shift, which has none.

    Raises:
        UserError: if the values are not 1-D, not finite, not strictly monotonic, or the unit is unknown.
    """

    values: NDArray[np.float64]
    unit: str

    def __post_init__(self) -> None:
        unit, factor = normalise_unit(self.unit)
        values = np.array(self.values, dtype=np.float64) * factor
        if values.ndim != 1 or values.size == 0:
            raise UserError(f"a spectral axis is a list of channel positions, got shape {values.shape}")
        if not np.isfinite(values).all():
            raise UserError("a spectral axis has a position that is NaN or infinite")
        steps = np.diff(values)
        if not ((steps > 0).all() or (steps < 0).all()):
            turn = int(np.flatnonzero(steps * np.sign(steps.sum()) <= 0)[0])
            raise UserError(
                f"a spectral axis must rise or fall all along: channel {turn} is at {values[turn]:g} {unit}, "
                f"channel {turn + 1} at {values[turn + 1]:g}"
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "unit", unit)

    @classmethod
    def linear(cls, first: float, step: float, channels: int, unit: str) -> SpectralAxis:
        """Evenly spaced axis: channel i is at `first + i * step`."""
        return cls(first + step * np.arange(channels, dtype=np.float64), unit)

    @classmethod
    def parse(cls, text: str, channels: int) -> SpectralAxis:
        """Axis of `channels` channels from a short text.

        Args:
            text: `FIRST:LAST:UNIT`, the centres of the first and last channel, as in `0.5:38.5:keV`; or `channel`.
            channels: number of channels, at least 1.

        Raises:
            UserError: if the text has another form.
        """
        if text == "channel":
            return cls.linear(0, 1, channels, "channel")
        rest, _, unit = text.rpartition(":")
        try:
            first, last = (float(part) for part in rest.split(":"))
        except ValueError:
            raise UserError(f"axis '{text}': expected FIRST:LAST:UNIT as in 0.5:38.5:keV, or FILE:UNIT") from None
        normalise_unit(unit)
        if not (math.isfinite(first) and math.isfinite(last)):
            raise UserError(f"axis '{text}': both ends must be finite numbers")
        return cls(np.linspace(first, last, channels, dtype=np.float64), unit)

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return int(self.values.size)

    @property
    def label(self) -> str:
        """Text for a figure's axis: "energy (keV)", "wavelength (nm)", "wavenumber (1/cm)" or "channel"."""
        if self.unit == "channel":
            return "channel"
        quantity = {"keV": "energy", "1/cm": "wavenumber"}.get(self.unit, "wavelength")
        return f"{quantity} ({self.unit})"

    def widths(self) -> NDArray[np.float64]:
        """Width of each channel, (C,) float64, positive, in the axis' unit."""
        return np.abs(np.diff(self.edges()))

    def edges(self) -> NDArray[np.float64]:
        """Borders of the channels, (C + 1,) float64: midpoints, and half a step beyond the first and last centre.

        A single channel is one unit wide.
        """
        if self.channels == 1:
            return np.array([self.values[0] - 0.5, self.values[0] + 0.5])
        middle = (self.values[1:] + self.values[:-1]) / 2
        return np.concatenate([2 * self.values[:1] - middle[:1], middle, 2 * self.values[-1:] - middle[-1:]])

    def slice(self, start: int, stop: int) -> SpectralAxis:
        """The axis of channels `start` to `stop` (not included)."""
        return SpectralAxis(self.values[start:stop], self.unit)

    def to(self, unit: str) -> SpectralAxis:
        """The same axis in another unit of the same quantity (angstrom, nm and um are interchangeable).

        Raises:
            UserError: if the units measure different things.
        """
        name, _ = normalise_unit(unit)
        if name == self.unit:
            return self
        if name not in _ANGSTROMS or self.unit not in _ANGSTROMS:
            raise UserError(f"a spectral axis in {self.unit} cannot be given in {name}")
        return SpectralAxis(self.values * (_ANGSTROMS[self.unit] / _ANGSTROMS[name]), name)

    def matches(self, other: SpectralAxis, tolerance: float = 0.1) -> bool:
        """Whether every channel of `other` lies within `tolerance` channel widths of the same channel here."""
        return self.difference(other, tolerance) is None

    def difference(self, other: SpectralAxis, tolerance: float = 0.1) -> str | None:
        """Say in one sentence how `other` differs from this axis; None if they match within `tolerance` widths."""
        if self.channels != other.channels:
            return f"{self} against {other}: {self.channels} channels against {other.channels}"
        try:
            values = other.to(self.unit).values
        except UserError:
            return f"{self} against {other}: {self.unit} against {other.unit}"
        offset = np.abs(values - self.values) / self.widths()
        worst = int(np.argmax(offset))
        if offset[worst] <= tolerance:
            return None
        return (
            f"{self} against {other}: channel {worst} is at {self.values[worst]:g} against {values[worst]:g} "
            f"{self.unit}, {offset[worst]:.2g} channel widths apart"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types only: {"values": list of floats, "unit": str}."""
        return {"values": self.values.tolist(), "unit": self.unit}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> SpectralAxis:
        """Inverse of `to_dict`."""
        return cls(np.asarray(state["values"], dtype=np.float64), state["unit"])

    def __repr__(self) -> str:
        return f"SpectralAxis({self})"

    def __str__(self) -> str:
        return f"{self.channels} channels, {self.values[0]:g} to {self.values[-1]:g} {self.unit}"
