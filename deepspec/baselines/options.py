"""What can be chosen about a baseline: the same on the command line and in a call from Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from deepspec.errors import UserError
from deepspec.renamed import has_old_words
from deepspec.segmentation.options import SearchOptions

Method = Literal["pca", "nmf", "umap", "raw", "rgb"]
METHODS: tuple[Method, ...] = get_args(Method)

COMPONENTS = {"pca": 8, "nmf": 8, "umap": 3}
"""Dimensions where none are given; fewer of spectra with fewer channels."""


@has_old_words
@dataclass(frozen=True, kw_only=True)
class BaselineOptions(SearchOptions):
    """How a baseline is fitted, and how its latent points are divided.

    Args:
        preprocess: preprocessing steps, such as [sqrt, {step: standard, scale: global}]. The default is this list for
            counts (without centring for nmf), [minmax] for other data, and no step for rgb; the steps that were taken
            are printed.
        components: dimensions of pca (default 8), nmf (8) and umap (3).
        image: for rgb, a picture of the same scene: its file, or FILE:KEY of an array (H, W, 3) in a NPZ, HDF5, FITS
            or MATLAB file.
        resample: take the nearest pixels of a picture that has another size.
        neighbours: number of neighbours of each spectrum, for umap.
        min_dist: least distance between points of the embedding, for umap.
    """

    preprocess: list[str | dict[str, Any]] | None = None
    components: int | None = None
    image: str | None = None
    resample: bool = False
    neighbours: int = 15
    min_dist: float = 0.1

    def check(self, method: Method) -> None:
        """Refuse what makes no sense for a method.

        Raises:
            UserError: an option is missing, impossible, or for another method.
        """
        if method not in METHODS:
            raise UserError(f"unknown baseline {method!r}: expected one of {', '.join(METHODS)}")
        if (self.image is not None) != (method == "rgb"):
            given = "rgb needs --image, a picture of the same scene" if method == "rgb" else "--image is for rgb alone"
            raise UserError(f"{given}; the other baselines look at the spectra")
        if self.components is not None and method not in COMPONENTS:
            raise UserError(f"--components is for {', '.join(COMPONENTS)}; {method} has dimensions of its own")
        if self.components is not None and self.components < 1:
            raise UserError(f"components: expected at least 1, got {self.components}")
        if method == "umap" and (self.neighbours < 2 or not 0 <= self.min_dist <= 1):
            raise UserError(
                f"expected neighbours of at least 2 and min_dist from 0 to 1, got {self.neighbours} and "
                f"{self.min_dist:g}"
            )
