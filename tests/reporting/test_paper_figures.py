import csv
import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from deepspec.axis import SpectralAxis
from deepspec.drawing import cluster_colours
from deepspec.errors import UserError
from deepspec.models import NetworkConfig
from deepspec.reporting import (
    averages_over_difference,
    cluster_rows,
    cluster_spectra,
    confusion_matrix,
    degradation_curves,
    degraded_masks,
    generate,
    generated_spectra,
    label_clusters,
    latent_matrix,
    layer_weights,
    masked_rgb,
    mean_colours,
    read_history,
    rgb_and_clustered,
    trained_weights,
    training_history,
)
from deepspec.reporting.latent_figures import sample_latents
from deepspec.reporting.spectra_figures import flattened_image
from deepspec.training.module import DeepClustering
from tests.reporting.segmentations import segmentation


def images(figure):
    return [image for axes in figure.axes for image in axes.images]


def test_the_flattened_cube_shows_the_highest_channel_of_each_column():
    axis = SpectralAxis.linear(0, 0.01, 720, "keV")
    values = np.zeros((5, 720), np.float32)
    values[2, 361] = 100
    image = flattened_image(axis, values)
    assert image.shape == (5, 240, 4)
    bright = np.argwhere((image != image[0, 0]).any(axis=2))
    assert bright.tolist() == [[2, 120]]
    falling = flattened_image(SpectralAxis(axis.values[::-1], "keV"), values)
    assert np.argwhere((falling != falling[0, 0]).any(axis=2)).tolist() == [[2, 239 - 120]]


def test_figure_9_has_the_flattened_cubes_behind_the_spectra():
    found = segmentation(3)
    figure = cluster_rows(found)
    for _, decoded, measured in np.reshape(figure.axes, (3, 3)):
        for axes, values in ((decoded, found.sample.reconstructed), (measured, found.sample.input)):
            (image,) = axes.images
            np.testing.assert_array_equal(image.get_array(), flattened_image(found.axis, values))
            assert axes.get_xlim() == (found.axis.values[0], found.axis.values[-1])


def test_figure_10_has_three_averages_over_the_difference():
    found = segmentation(3)
    figure = averages_over_difference(found)
    difference = np.abs(found.sample.input - found.sample.reconstructed)
    for cluster, axes in enumerate(figure.axes):
        drawn = [line.get_ydata() for line in axes.lines]
        for line, spectra in zip(
            drawn, (found.mean_input, found.mean_reconstructed, found.decoded_centre), strict=True
        ):
            np.testing.assert_array_equal(line, spectra[cluster])
        np.testing.assert_array_equal(axes.images[0].get_array(), flattened_image(found.axis, difference))
        assert len({to_hex(line.get_color()) for line in axes.lines}) == 3


def test_peaks_are_named_where_they_are():
    axis = SpectralAxis.linear(0.5, 0.037, 1024, "keV")
    found = segmentation(2, axis=axis)
    iron = (
        2
        + 900 * np.exp(-0.5 * ((axis.values - 6.4) / 0.065) ** 2)
        + 130 * np.exp(-0.5 * ((axis.values - 7.06) / 0.065) ** 2)
    )
    spectra = np.random.default_rng(0).poisson([1000 * iron, np.full(1024, 2000.0)]) / 1000
    found = dataclasses.replace(
        found, mean_raw=spectra, mean_input=spectra, mean_reconstructed=spectra, decoded_centre=spectra
    )
    figure = cluster_spectra(found, "auto", label_clusters(spectra, axis))
    named = {text.get_text(): text.xy for text in figure.axes[0].texts if "K" in text.get_text()}
    assert set(named) == {"Fe Kα"}  # Kβ has no room beside it
    assert named["Fe Kα"][0] == pytest.approx(6.4, abs=0.02)
    assert figure.axes[0].get_ylim()[1] > 1.5 * spectra[0].max()
    assert len(figure.axes[1].texts) == 1  # the mark of its colour


def test_the_latent_matrix_shows_every_pair_of_dimensions():
    found = segmentation(3, latent=4)
    figure = latent_matrix(found)
    assert len(figure.axes) == 10
    scatter = next(axes for axes in figure.axes if axes.get_ylabel() == "latent 3")
    assert scatter.get_xlabel() == "latent 0"
    for cluster, line in enumerate(scatter.lines[:3]):
        np.testing.assert_array_equal(line.get_xydata(), found.latents[found.labels == cluster][:, [0, 3]])
        assert to_hex(line.get_color()) == cluster_colours(3)[cluster]
    np.testing.assert_array_equal(scatter.lines[3].get_xydata(), found.cluster_centers[:, [0, 3]])
    assert len(latent_matrix(segmentation(3, latent=9)).axes) == 21  # six of them
    assert len(latent_matrix(segmentation(2, latent=1)).axes) == 1


def test_a_sample_of_the_latent_points_is_drawn():
    large = segmentation(2, shape=(90, 90))
    sample = sample_latents(large)
    assert sample.points_SL.shape == (4096, 3)
    of_point = dict(zip(large.latents[..., 0].ravel().tolist(), large.labels.ravel().tolist(), strict=True))
    assert [of_point[x] for x in sample.points_SL[:, 0].tolist()] == sample.labels_S.tolist()
    assert len(set(sample.points_SL[:, 0].tolist())) == 4096


def metrics(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_training_history_has_the_weights_and_the_learning_rate(tmp_path):
    rows = [{"epoch": i, "train/total": 1 / (i + 1), "val/total": "" if i == 1 else 1.1, "beta": 0.01 * (i > 2),
             "gamma": 0.002, "lr": 1e-3, "ikmeans/k": 3, "ikmeans/silhouette": 0.5} for i in range(5)]  # fmt: skip
    metrics(tmp_path / "metrics.csv", rows)
    history = read_history(tmp_path)
    np.testing.assert_array_equal(history["val/total"], [1.1, np.nan, 1.1, 1.1, 1.1])
    figure = training_history(history)
    figure.canvas.draw()
    drawn = {line.get_label(): line.get_ydata() for axes in figure.axes for line in axes.lines}
    np.testing.assert_array_equal(drawn[r"$\beta$, of MMD"], history["beta"])
    np.testing.assert_array_equal(drawn[r"$\gamma$, of silhouette"], history["gamma"])
    np.testing.assert_array_equal(drawn["training"], history["train/total"])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "learning rate (grey)" in labels
    assert "K (grey)" in labels
    training_history(read_history(tmp_path / "metrics.csv")).canvas.draw()


def test_history_of_other_files(tmp_path):
    with pytest.raises(UserError, match="no such file; `fit` writes"):
        read_history(tmp_path)
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="with a column 'epoch'"):
        read_history(tmp_path)
    (tmp_path / "metrics.csv").write_text("epoch,b\n1,x\n")
    with pytest.raises(UserError, match="expected numbers: could not convert"):
        read_history(tmp_path)


def test_weights_before_training_are_drawn_again_from_the_seed(tmp_path):
    """As `fit` does it: the seed is set, then the network is built."""
    torch.manual_seed(11)
    axis = SpectralAxis.linear(0, 1, 30, "channel").to_dict()
    model = DeepClustering(axis, NetworkConfig(encoder=[16, 8], latent=2))
    model.seed = 11
    start = {name: value.clone().numpy() for name, value in model.network.state_dict().items()}
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 0.5
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, tmp_path / "model.ckpt")
    state = torch.random.get_rng_state()
    before, after = trained_weights(str(tmp_path / "model.ckpt"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert before.keys() == after.keys()
    assert len(before) >= 4
    for name in before:
        np.testing.assert_array_equal(before[name], start[f"{name}.weight"])
        np.testing.assert_allclose(after[name], before[name] + 0.5, rtol=1e-6)
    figure = layer_weights(before, after)
    assert len(figure.axes) == len(before)
    with pytest.raises(ValueError, match="of the same layers"):
        layer_weights(before, {})


def test_clustered_colours_are_means():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    labels = np.arange(20).reshape(4, 5) % 3 - 1
    painted = mean_colours(rgb, labels)
    assert not painted[labels < 0].any()
    for cluster in (0, 1):
        np.testing.assert_allclose(
            painted[labels == cluster], [rgb[labels == cluster].mean(0)] * (labels == cluster).sum(), atol=0.5
        )
    figure = rgb_and_clustered(rgb, labels)
    np.testing.assert_array_equal(images(figure)[0].get_array(), rgb)
    np.testing.assert_array_equal(images(figure)[1].get_array(), painted)
    assert figure.axes[1].get_title() == "clustered RGB, K = 2"
    with pytest.raises(ValueError, match=r"of \(4, 5\) pixels, got shape \(3, 5, 3\)"):
        mean_colours(rgb[:3], labels)


def test_figure_12_shows_the_picture_behind_each_mask():
    found = segmentation(3)
    rgb = np.random.default_rng(0).integers(1, 256, (12, 20, 3)).astype(np.uint8)
    shown = images(masked_rgb(found.labels, 3, rgb))
    for cluster in range(3):
        mask = found.labels == cluster
        np.testing.assert_array_equal(shown[cluster].get_array().any(axis=2), mask)
        np.testing.assert_array_equal(shown[cluster].get_array()[mask], rgb[mask])
        np.testing.assert_array_equal(shown[3 + cluster].get_array(), 255 * np.repeat(mask[..., None], 3, axis=2))
    many = masked_rgb(np.arange(240).reshape(12, 20) % 7, 7, rgb)
    assert len(images(many)) == 14
    assert many.axes[6].get_title() == ""
    assert many.axes[10].get_title() == "cluster 5: 14.2 %"
    with pytest.raises(ValueError, match="expected an RGB picture"):
        masked_rgb(found.labels, 3, rgb[..., 0])


def test_confusion_matrix_has_counts_and_shares():
    counts = np.array([[50, 10, 0], [5, 30, 5]])
    figure = confusion_matrix(counts, ["a", "b"], ["0", "1", "2"], "weighted F1 .9")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["50\n50.0 %", "10\n10.0 %", "0\n0.0 %", "5\n5.0 %", "30\n30.0 %", "5\n5.0 %"]
    np.testing.assert_allclose(images(figure)[0].get_array(), counts / 100)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["a", "b"]
    with pytest.raises(ValueError, match="expected 1 x 3 counts"):
        confusion_matrix(counts, ["a"], ["0", "1", "2"])
    confusion_matrix(np.zeros((2, 2), int), ["a", "b"], ["0", "1"]).canvas.draw()


def test_degraded_masks_have_a_row_per_method_and_class():
    reference = np.arange(20).reshape(4, 5) % 3
    worse = np.where(reference == 2, -2, reference)
    worse[0, 0] = -1
    found = [("net", 0.21, worse), ("net", 0.0, reference), ("pca", 0.0, (reference + 1) % 3), ("net", 0.0, worse)]
    figure = degraded_masks(reference, ["a", "b", "c"], found)
    rows = np.reshape(figure.axes, (6, 3))
    assert [axes.get_title() for axes in rows[0]] == ["reference", "degradation 0.00", "degradation 0.21"]
    assert [axes.get_ylabel() for axes in rows[:, 0]] == [
        f"{method}\nclass {name}" for method in ("net", "pca") for name in "abc"
    ]
    shown = np.where(worse == 0, 2, np.where(worse == -1, 0, 1))
    np.testing.assert_array_equal(rows[0, 2].images[0].get_array(), shown)
    np.testing.assert_array_equal(rows[4, 1].images[0].get_array(), 1 + ((reference + 1) % 3 == 1))
    assert [text.get_text() for text in rows[2, 2].texts] == ["no cluster"]
    assert [text.get_text() for text in rows[3, 2].texts] == ["not given"]
    figure.canvas.draw()
    with pytest.raises(ValueError, match=r"label maps of shape \(4, 5\)"):
        degraded_masks(reference, "abc", [("net", 0.0, reference[:2])])


def test_degradation_curves_have_a_line_per_method():
    methods, levels = ["net", "pca", "net", "net"], [0.21, 0.0, 0.0, 0.21]
    scores = {"weighted accuracy": [0.8, 0.7, 0.9, 0.6], "weighted F1": [0.5, 0.4, 0.6, 0.5]}
    figure = degradation_curves(methods, levels, scores, psnr_before=48.0)
    figure.canvas.draw()
    accuracy = figure.axes[0]
    net, pca = (container.lines for container in accuracy.containers)
    np.testing.assert_allclose(net[0].get_xydata(), [[0, 0.9], [0.21, 0.7]])
    np.testing.assert_allclose(pca[0].get_xydata(), [[0, 0.7]])
    bars = net[2][0].get_segments()
    np.testing.assert_allclose(np.diff(bars[1][:, 1]), 0.2)  # twice the deviation of 0.8 and 0.6
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["net", "pca"]
    (top,) = accuracy.child_axes
    np.testing.assert_allclose(sorted(top.get_xlim()), sorted(48 * (1 - np.array(accuracy.get_xlim()))))
    with pytest.raises(ValueError, match="expected 1 levels and values"):
        degradation_curves(["a"], [0], {"a": [1, 2]})


@pytest.mark.parametrize("variational", [True, False])
def test_generated_spectra_are_draws_from_the_prior_in_their_clusters(tmp_path, variational):
    torch.manual_seed(0)
    axis = SpectralAxis.linear(1.0, 0.5, 40, "keV")
    model = DeepClustering(axis.to_dict(), NetworkConfig(encoder=[16, 8], latent=3, variational=variational))
    content = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    torch.save(content, tmp_path / "model.ckpt")
    found = segmentation(3, axis=axis)
    generated = generate(found, str(tmp_path / "model.ckpt"), seed=3)
    if not variational:
        assert generated is None
        return
    z = torch.randn(2000, 3, generator=torch.Generator().manual_seed(3))
    nearest = ((z[:, None] - torch.from_numpy(found.cluster_centers)) ** 2).sum(2).argmin(1)
    np.testing.assert_array_equal(generated.labels_N, nearest)
    np.testing.assert_allclose(generated.spectra_ND, model.eval().decode(z).numpy(), rtol=1e-5, atol=1e-6)
    figure = generated_spectra(found, generated)
    figure.canvas.draw()
    for cluster, axes in enumerate(figure.axes):
        own = generated.spectra_ND[generated.labels_N == cluster]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), found.mean_input[cluster])
        for line, spectrum in zip(axes.lines[1:], own[:4], strict=True):
            np.testing.assert_array_equal(line.get_ydata(), spectrum)
        assert f"{len(own) / 20:.1f} % of the draws" in axes.get_title(loc="left")
