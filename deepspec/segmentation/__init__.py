"""Segmentation of a cube by a fitted model, and the file that keeps it."""

from deepspec.segmentation.model import SegmentationModel
from deepspec.segmentation.pipeline import segment_cube
from deepspec.segmentation.result import Provenance, Segmentation
from deepspec.segmentation.structure import Structure

__all__ = ["Provenance", "Segmentation", "SegmentationModel", "Structure", "segment_cube"]
