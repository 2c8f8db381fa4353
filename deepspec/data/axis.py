"""The home of `SpectralAxis` in earlier versions."""

from deepspec.axis import SpectralAxis, find_unit, normalise_unit

__all__ = ["SpectralAxis", "find_unit", "normalise_unit"]
