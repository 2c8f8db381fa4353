"""An evaluation in a few lines of plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepspec.evaluation.reference import Reference
    from deepspec.evaluation.result import Evaluation
    from deepspec.functional import Agreement, SilhouetteEstimate


def summary(evaluation: Evaluation) -> list[str]:
    """Lines to print: agreement, each class, indices, number of clusters, stability, notes."""
    lines: list[str] = []
    if evaluation.agreement is not None and evaluation.reference is not None:
        lines += _agreement(evaluation.agreement, evaluation.reference)
    for space, internal in (("latent", evaluation.internal), ("input", evaluation.input_space)):
        if internal is not None:
            lines.append(
                f"in the {space} space: silhouette {_score(internal.silhouette_samples)} over pixels, "
                f"{_score(internal.silhouette_clusters)} over clusters; Davies-Bouldin {internal.davies_bouldin:.3f} "
                f"(low is good), Calinski-Harabasz {internal.calinski_harabasz:.0f} (high is good)"
            )
    lines.append(f"number of clusters: {evaluation.k_sentence}")
    if evaluation.stability_sentence is not None:
        lines.append(evaluation.stability_sentence)
    return lines + [f"note: {note}" for note in evaluation.notes]


def _agreement(agreement: Agreement, reference: Reference) -> list[str]:
    clusters = len(agreement.match_P)
    ours = f"{clusters} clusters" if clusters > 1 else "one cluster"
    lines = [
        f"{ours} against {len(reference.names)} classes of {reference.source}, "
        f"{agreement.points} pixels that have both",
        f"{_percent(agreement.overall_accuracy)} of the pixels are in the cluster of their class; "
        f"ARI {agreement.ari:.3f}, NMI {agreement.information.nmi:.3f}, purity {agreement.purity:.3f}",
        f"F1 {agreement.macro['f1']:.3f} (by size {agreement.weighted['f1']:.3f}), "
        f"Tversky {agreement.macro['tversky']:.3f} (by size {agreement.weighted['tversky']:.3f})",
    ]
    for number, name in enumerate(reference.names):
        cluster, size = int(agreement.columns[number]), int(agreement.counts.support_R[number])
        if size == 0:
            lines.append(f"  class {name}: no pixel")
        elif cluster < 0:
            lines.append(f"  class {name}, {size} pixels: no cluster is left for it")
        else:
            scores = {key: float(agreement.per_class[key][number]) for key in ("recall", "precision", "f1")}
            lines.append(
                f"  class {name}, {size} pixels: {_percent(scores['recall'])} of it is in cluster {cluster}, of which "
                f"it makes up {_percent(scores['precision'])} (F1 {scores['f1']:.3f})"
            )
    left = agreement.columns[len(reference.names) :].tolist()
    if left:
        lines.append(
            f"  without a class: cluster{'s' if len(left) > 1 else ''} {', '.join(map(str, left))} "
            f"({_percent(agreement.unmatched_share)} of the pixels)"
        )
    return lines


def _score(estimate: SilhouetteEstimate) -> str:
    error = f" ± {estimate.standard_error:.3f}" if estimate.standard_error > 0 else ""
    return f"{estimate.score:.3f}{error}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
