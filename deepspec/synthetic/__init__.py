"""Physical generators of spectral datacubes with known ground truth."""
