"""What can be chosen about an evaluation: the same on the command line and in a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deepspec.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How a segmentation is evaluated.

    Args:
        kind: what the reference is: a picture (image) or a label map (labels); default found from its content.
        ignore: value of the label map that means no class, such as 0.
        mapping: YAML file that merges classes which cannot be told apart, with lines like 'iron earths: [4, 7]'.
        resample: take the nearest pixels of a reference that has another size.
        cube: where the cube is now, its file or the folder that holds it; default where it was when it was segmented.
            It is read once more, for silhouette, Davies-Bouldin and Calinski-Harabasz of its preprocessed spectra;
            none leaves these out, and so does a cube that is not found.
        checkpoint: run folder or model.ckpt of the segmentation, if it has moved; its preprocessing is needed for the
            scores in the space of the spectra.
        k: fewest and most clusters, of the picture's colours and of the criteria for K.
        refits: number of K-means refits on resampled pixels, from which the stability is computed; 0 leaves it out.
        alpha: weight of false negatives in the Tversky index.
        beta: weight of false positives in the Tversky index.
        export: the figures as vector graphics too: svg, pdf, or both with a comma; none.
        seed: seed of all random choices.
        device: cpu, cuda, or auto: cuda where there is one; for K-means and silhouettes of the latent points.
        overwrite: replace an earlier evaluation in `out`. If several are evaluated one by one, replace those that were
            made with other files or options.
    """

    kind: Literal["auto", "image", "labels"] = "auto"
    ignore: int | None = None
    mapping: str | None = None
    resample: bool = False
    cube: str | None = None
    checkpoint: str | None = None
    k: tuple[int, int] = (3, 10)
    refits: int = 20
    alpha: float = 0.7
    beta: float = 0.3
    export: str = "none"
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UserError: one is impossible whatever the segmentation.
        """
        if min(self.refits, self.alpha, self.beta) < 0 or self.refits == 1:
            raise UserError("refits: expected 0 or at least 2; alpha and beta: expected at least 0")
