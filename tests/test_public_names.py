"""The public surface, frozen: growing it is a visible change."""

import subprocess
import sys

import deepspec
import deepspec.functional
import deepspec.metrics
import deepspec.synthetic


def test_public_names():
    assert set(deepspec.__all__) == {
        "DeepClustering", "DeepSpectralClustering", "LineMaps", "Run", "Segmentation", "SpectraDataModule",
        "SpectralAxis", "SpectralCube", "SpectralModel", "auto_segment", "evaluate_segmentation", "functional",
        "map_lines", "metrics", "read_cube", "read_reference", "relabel_segmentation", "segment_by_baseline",
        "segment_cube", "synthetic", "train",
    }  # fmt: skip
    for name in deepspec.__all__:
        assert getattr(deepspec, name) is not None
    assert set(deepspec.functional.__all__) == {
        "Agreement", "IKMeansResult", "KCriteria", "KMeansResult", "SilhouetteEstimate", "Stability",
        "TooFewPositionsError", "adjusted_rand_index", "clustered_silhouette", "confusion_matrix", "contingency_table",
        "ikmeans", "k_criteria", "kmeans", "kmeans_range", "match_labels", "mmd", "normal_mmd", "purity",
        "score_agreement", "shared_information", "silhouette_estimate", "silhouette_samples", "silhouette_score",
        "stability", "tversky_index",
    }  # fmt: skip
    assert set(deepspec.metrics.__all__) == {"CalinskiHarabasz", "ClusterAgreement", "DaviesBouldin", "Silhouette"}
    assert set(deepspec.synthetic.__all__) == {
        "NebularCube", "NebularSpectra", "Observation", "PigmentTable", "SyntheticScan", "degrade", "load_pigments",
        "nebular_cube", "xrf_cube",
    }  # fmt: skip


def test_importing_the_package_is_quick_because_torch_waits():
    code = "import sys, deepspec; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "deepspec", *arguments], capture_output=True, text=True)


def test_deepspec_verb():
    shown = run()
    assert shown.returncode == 0
    for verb in ("map", "synthesize", "ingest", "fit", "segment", "baseline", "evaluate"):
        assert verb in shown.stdout
    wrong = run("segmnt")
    assert wrong.returncode == 2
    assert "expected one of" in wrong.stderr
    assert run("--version").stdout.strip() == deepspec.__version__


def test_parts_of_the_package_are_there_without_being_imported():
    code = (
        "import deepspec, sys; assert 'torch' not in sys.modules\n"
        "deepspec.errors.UserError, deepspec.baselines.segment_by_baseline, deepspec.segmentation.SegmentOptions\n"
        "deepspec.clustering.Valleys, deepspec.reporting.figures, deepspec.lines.label, deepspec.evaluation"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
