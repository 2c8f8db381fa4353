"""Spectral axes, cubes, and spectra on disk."""
