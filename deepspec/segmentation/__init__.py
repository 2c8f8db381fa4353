"""Segmentation of a cube by a fitted model, and the file that keeps it."""

from typing import TYPE_CHECKING

from deepspec.lazy_names import lazy_names

if TYPE_CHECKING:
    from deepspec.clustering.structure import Structure
    from deepspec.segmentation.cutting import Leaves
    from deepspec.segmentation.drift import Drift
    from deepspec.segmentation.edits import Edits, relabel_segmentation
    from deepspec.segmentation.labelling import LabelOptions
    from deepspec.segmentation.model import SegmentationModel
    from deepspec.segmentation.options import ResultOptions, SearchOptions, SegmentOptions
    from deepspec.segmentation.pipeline import segment_cube
    from deepspec.segmentation.provenance import Provenance
    from deepspec.segmentation.result import BaselineRecord, ClusteringRecord, Segmentation
    from deepspec.segmentation.spectra import PixelSample
    from deepspec.segmentation.statistics import ClusterStatistics, cluster_statistics

__all__ = [
    "BaselineRecord",
    "ClusterStatistics",
    "ClusteringRecord",
    "Drift",
    "Edits",
    "LabelOptions",
    "Leaves",
    "PixelSample",
    "Provenance",
    "ResultOptions",
    "SearchOptions",
    "SegmentOptions",
    "Segmentation",
    "SegmentationModel",
    "Structure",
    "cluster_statistics",
    "relabel_segmentation",
    "segment_cube",
]

__getattr__ = lazy_names(
    __name__,
    {
        "BaselineRecord": "deepspec.segmentation.result",
        "ClusteringRecord": "deepspec.segmentation.result",
        "ClusterStatistics": "deepspec.segmentation.statistics",
        "Edits": "deepspec.segmentation.edits",
        "cluster_statistics": "deepspec.segmentation.statistics",
        "relabel_segmentation": "deepspec.segmentation.edits",
        "Drift": "deepspec.segmentation.drift",
        "LabelOptions": "deepspec.segmentation.labelling",
        "Leaves": "deepspec.segmentation.cutting",
        "PixelSample": "deepspec.segmentation.spectra",
        "Provenance": "deepspec.segmentation.provenance",
        "ResultOptions": "deepspec.segmentation.options",
        "SearchOptions": "deepspec.segmentation.options",
        "SegmentOptions": "deepspec.segmentation.options",
        "Segmentation": "deepspec.segmentation.result",
        "SegmentationModel": "deepspec.segmentation.model",
        "Structure": "deepspec.clustering.structure",
        "segment_cube": "deepspec.segmentation.pipeline",
    },
)
