"""Deep clustering of spectral datacubes."""
