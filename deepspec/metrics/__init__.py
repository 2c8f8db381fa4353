"""torchmetrics classes: thin state over `deepspec.functional`, summed over batches and ranks."""

from deepspec.metrics.agreement import ClusterAgreement
from deepspec.metrics.centroid_indices import CalinskiHarabasz, DaviesBouldin
from deepspec.metrics.silhouette import Silhouette

__all__ = ["CalinskiHarabasz", "ClusterAgreement", "DaviesBouldin", "Silhouette"]
