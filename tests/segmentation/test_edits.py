import dataclasses

import numpy as np
import pytest
import torch
import yaml

from deepspec.clustering import Merge, Tree
from deepspec.errors import UserError
from deepspec.models import NetworkConfig
from deepspec.segmentation import Leaves, Segmentation, cluster_statistics, relabel_segmentation, segment_cube
from deepspec.segmentation.edits import SPLIT, Edits, edits_of, parse_edits, read_edits
from deepspec.training.module import DeepClustering
from tests.support.planted import AXIS, planted_cube

pytestmark = pytest.mark.usefixtures("few_clouds")


@pytest.fixture(scope="module")
def made():
    """A cube of four materials, a model, and the segmentation with statistics."""
    cube, _ = planted_cube(counts=20_000)
    torch.manual_seed(0)
    model = DeepClustering(AXIS.to_dict(), NetworkConfig(encoder=[16], output="linear"), ["sqrt", "max"]).eval()
    found = segment_cube(cube, model, clusters="refit", k=4, seed=0)
    return cube, model, dataclasses.replace(found, statistics=cluster_statistics(cube, found.labels, 4))


def spectra(cube):
    return cube.read_rows(0, cube.shape[0]).astype(float)


def test_names_and_colours_are_kept_in_the_file_and_nothing_else_changes(made, tmp_path):
    _, _, found = made
    named = relabel_segmentation(found, {"name": {0: "lead white"}, "colour": {1: "#F0E0C0"}, "lock": [2]})
    assert named.cluster_names[0].startswith("0 lead white: ")
    assert named.cluster_names[1].startswith("cluster 1: ")
    assert named.cluster_colours[1] == "#f0e0c0"
    assert named.cluster_colours[0] == found.cluster_colours[0]
    np.testing.assert_array_equal(named.labels, found.labels)
    named.save(tmp_path / "named.h5")
    again = Segmentation.load(tmp_path / "named.h5")
    assert (again.names, again.colours, again.locked) == (named.names, named.colours, (False, False, True, False))
    assert again.edited == (0, 1, 2, 3)


def test_a_file_without_edits_is_read_as_before(made, tmp_path):
    made[2].save(tmp_path / "plain.h5")
    found = Segmentation.load(tmp_path / "plain.h5")
    assert (found.names, found.colours, found.locked, found.edited) == (None, None, None, None)
    np.testing.assert_array_equal(found.statistics.median, made[2].statistics.median)


def test_a_merged_cluster_is_all_pixels_of_its_parts(made):
    cube, _, before = made
    found = relabel_segmentation(before, {"merge": [[3, 1]], "name": {3: "iron", 1: "earth"}})
    assert found.k == 3
    own = np.isin(before.labels, [1, 3])
    np.testing.assert_array_equal(found.labels == 1, own)
    assert found.names == ("", "iron", "")  # of the first that the list has
    np.testing.assert_allclose(found.mean_raw[1], spectra(cube)[own].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.cluster_centers[1], before.latents[own].mean(0), atol=1e-5)
    np.testing.assert_allclose(found.statistics.maximum[1], spectra(cube)[own].max(0))
    assert found.edited == (0, 1, 2, 1)
    assert found.sizes.tolist() == np.bincount(found.labels[found.labels >= 0]).tolist()
    assert found.leaves is None
    assert "3 and 1 merged" in found.notes[-1]


def test_dropped_pixels_enter_nothing(made, tmp_path):
    _, _, before = made
    found = relabel_segmentation(before, {"drop": [0]})
    gone = before.labels == 0
    assert found.k == 3
    assert (found.labels[gone] == -1).all()
    np.testing.assert_array_equal(found.labels[~gone], before.labels[~gone] - 1)
    for name in ("total_raw", "total_latent", "latents"):
        assert np.isnan(getattr(found, name)[gone]).all(), name
        assert np.isfinite(getattr(before, name)[gone]).all(), name
    if found.memberships is not None:
        np.testing.assert_allclose(found.memberships[~gone].sum(-1), 1, atol=1e-5)
        assert (found.memberships[gone] == 0).all()
    assert not np.isin(found.sample.pixels, np.flatnonzero(gone)).any()
    found.save(tmp_path / "dropped.h5")
    assert Segmentation.load(tmp_path / "dropped.h5").edited == (-1, 0, 1, 2)


def test_a_split_cluster_falls_into_the_materials_it_was_merged_of(made):
    cube, model, before = made
    merged = relabel_segmentation(before, {"merge": [[0, 2]], "name": {0: "both", 1: "other"}})
    found = relabel_segmentation(merged, {"split": {0: 2}}, cube=cube, model=model)
    assert found.k == 4
    first, second = (before.labels == 0), (before.labels == 2)
    one, two = found.labels == 0, found.labels == 1
    agree = max((one & first).sum() + (two & second).sum(), (one & second).sum() + (two & first).sum())
    assert agree / (first | second).sum() > 0.99
    assert found.sizes[0] >= found.sizes[1]
    for cluster in range(4):
        own = found.labels == cluster
        np.testing.assert_allclose(found.mean_raw[cluster], spectra(cube)[own].mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.cluster_centers[cluster], found.latents[own].mean(0), atol=1e-5)
        np.testing.assert_allclose(found.statistics.median[cluster], np.median(spectra(cube)[own], 0))
    assert found.names == ("both", "", "other", "")
    assert found.edited == (SPLIT, 2, SPLIT, 3)
    np.testing.assert_allclose(found.mean_reconstructed[2], before.mean_reconstructed[1], rtol=1e-4, atol=1e-4)


def test_edits_follow_each_other_and_can_be_made_at_once(made):
    _, _, before = made
    first = relabel_segmentation(before, {"merge": [[0, 1]], "name": {2: "a"}})
    both = relabel_segmentation(first, {"drop": [2], "colour": {0: "#112233"}, "lock": [1]})
    assert both.edited == (0, 0, 1, -1)
    at_once = relabel_segmentation(before, edits_of(both))
    np.testing.assert_array_equal(at_once.labels, both.labels)
    assert (at_once.names, at_once.colours, at_once.locked) == (both.names, both.colours, both.locked)


def test_a_merge_tree_is_kept_while_only_names_change(made):
    before = made[2]
    arrays = ("labels", "sizes", "cluster_centers", "mean_raw", "mean_input", "mean_reconstructed", "decoded_centre")
    leaves = Leaves(
        tree=Tree(4, (Merge(0, 1, 0.9), Merge(2, 3, 0.5), Merge(4, 5, 0.1))),
        parents=(0, 1, 2, 3),
        **{name: getattr(before, name) for name in arrays},
    )
    before = dataclasses.replace(before, leaves=leaves)
    assert relabel_segmentation(before, {"name": {0: "a"}}).leaves is leaves
    assert relabel_segmentation(before, {"merge": [[0, 1]]}).leaves is None
    assert relabel_segmentation(before, {"name": {0: "a"}}).cut(2).names is None


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({}, "nothing to change: expected some of name, colour"),
        ({"name": {7: "x"}}, "name: no cluster 7: expected 0 to 3"),
        ({"merge": [[1]]}, r"merge: expected two clusters or more in each list, got \[1\]"),
        ({"merge": [[0, 1], [1, 2]]}, "cluster 1 is in merge and in merge"),
        ({"merge": [[0, 1]], "drop": [1]}, "cluster 1 is in merge and in drop"),
        ({"drop": [0, 1, 2, 3]}, "drop: no pixel would be left"),
        ({"split": {0: 1}}, "split: expected 2 to 20 parts of cluster 0, got 1"),
        ({"split": {0: 2}}, "split: expected the cube and the model"),
        ({"colour": {0: "red"}}, "colour of cluster 0: expected #rrggbb, as in '#f0e0c0', got 'red'"),
        ({"name": {0: "a\nb"}}, "name of cluster 0: expected at most 40 characters in one line"),
        ({"lock": [0], "unlock": [0]}, "cluster 0 is in lock and in unlock"),
        ({"merges": [[0, 1]]}, r"no key 'merges' \(did you mean 'merge'\?\)"),
        ({"merge": [0, 1]}, r"merge: expected a list of numbers of clusters, as in merge: \[\[0, 3\]\], got 0"),
        ({"name": ["x"]}, r"name: expected numbers of clusters with a value for each"),
        ({"drop": "0"}, "drop: expected a list of numbers of clusters"),
        (["merge"], "expected keys such as name, merge or drop, got list"),
    ],
)
def test_impossible_edits_are_refused(made, edits, message):
    with pytest.raises(UserError, match=message):
        relabel_segmentation(made[2], edits)


def test_a_locked_cluster_stays_until_it_is_unlocked(made):
    locked = relabel_segmentation(made[2], {"lock": [1]})
    with pytest.raises(UserError, match=r"merge: cluster 1 is locked; unlock: \[1\] allows it"):
        relabel_segmentation(locked, {"merge": [[0, 1]]})
    assert relabel_segmentation(locked, {"merge": [[0, 1]], "unlock": [1]}).k == 3


def test_splits_do_not_go_to_other_cubes(made):
    cube, model, before = made
    split = relabel_segmentation(before, Edits(split={0: 2}), cube=cube, model=model)
    with pytest.raises(UserError, match="its edits split a cluster"):
        edits_of(split)


def test_edits_from_yaml(tmp_path):
    (tmp_path / "edits.yaml").write_text(
        'name: {0: lead white}\nmerge: [[0, 3]]\nsplit: {1: 2}\ncolour: {0: "#f0e0c0"}\n'
    )
    found = read_edits(tmp_path / "edits.yaml")
    assert found == parse_edits(
        {"name": {0: "lead white"}, "merge": [[0, 3]], "split": {1: 2}, "colour": {0: "#f0e0c0"}}
    )
    assert yaml.safe_load(Edits.__doc__.split("As YAML:")[1]).keys() == {f.name for f in dataclasses.fields(Edits)}
    for text, message in (("a: [", "cannot be read as YAML"), ("nam: {}", "edits.yaml: edits: no key 'nam'")):
        (tmp_path / "edits.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            read_edits(tmp_path / "edits.yaml")
    with pytest.raises(UserError, match="no such file of edits"):
        read_edits(tmp_path / "other.yaml")
