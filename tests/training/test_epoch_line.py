"""The line that each epoch prints."""

from types import SimpleNamespace

import pytest
import torch

from deepspec.training.callbacks import EpochLine, IKMeansCallback


@pytest.mark.parametrize(("score", "shown"), [(0.5, "K 2  silhouette of the sample 0.5"), (float("nan"), "K 2  0.")])
def test_a_clustering_without_silhouette_prints_none(capsys, score, shown):
    clustering = IKMeansCallback()
    clustering.clustered_at = 3
    metrics = {"val/reconstruction": float("nan"), "ikmeans/k": 2.0, "ikmeans/silhouette": score}
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=3, max_epochs=9, callbacks=[clustering], fast_dev_run=0,
        callback_metrics={name: torch.tensor(value) for name, value in metrics.items()},
    )  # fmt: skip
    line = EpochLine()
    line.on_train_epoch_start(trainer, None)
    line.on_train_epoch_end(trainer, None)
    printed = capsys.readouterr().out
    assert printed.startswith(f"epoch 4/9  reconstruction nan  {shown}")  # a loss that is NaN is no secret
