"""Clustering of latent points behind one seam: a `Clusterer` makes a `Partition`, which labels any point."""

from deepspec.clustering.base import Clusterer, Partition, Search
from deepspec.clustering.clusters import Clusters, TrainingRecord
from deepspec.clustering.config import ClustererConfig
from deepspec.clustering.consensus import Consensus, ConsensusKMeans
from deepspec.clustering.gmm import GaussianMixtures
from deepspec.clustering.hdbscan import Hdbscan
from deepspec.clustering.ikmeans import IKMeans
from deepspec.clustering.merging import Merge, Tree
from deepspec.clustering.partitions import CountSpectra, Gaussians, NearestCentres
from deepspec.clustering.valleys import Valleys

__all__ = [
    "Clusterer",
    "ClustererConfig",
    "Clusters",
    "Consensus",
    "ConsensusKMeans",
    "CountSpectra",
    "GaussianMixtures",
    "Gaussians",
    "Hdbscan",
    "IKMeans",
    "Merge",
    "NearestCentres",
    "Partition",
    "Search",
    "TrainingRecord",
    "Tree",
    "Valleys",
]
