"""Spectral axes, cubes, shards and their data module."""
