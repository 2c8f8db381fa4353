"""Segmentation of a cube by a fitted model, and the file that keeps it."""

from deepspec.clustering.structure import Structure
from deepspec.segmentation.cutting import Leaves
from deepspec.segmentation.drift import Drift
from deepspec.segmentation.labelling import LabelOptions
from deepspec.segmentation.model import SegmentationModel
from deepspec.segmentation.pipeline import segment_cube
from deepspec.segmentation.provenance import Provenance
from deepspec.segmentation.result import BaselineRecord, ClusteringRecord, Segmentation
from deepspec.segmentation.spectra import PixelSample

__all__ = [
    "BaselineRecord",
    "ClusteringRecord",
    "Drift",
    "LabelOptions",
    "Leaves",
    "PixelSample",
    "Provenance",
    "Segmentation",
    "SegmentationModel",
    "Structure",
    "segment_cube",
]
