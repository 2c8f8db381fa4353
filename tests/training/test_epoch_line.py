"""The line that each epoch prints."""

from types import SimpleNamespace

import pytest
import torch

from deepspec.training.callbacks import EpochLine, IKMeansCallback
from deepspec.training.objective import Weights


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
    line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights()))
    printed = capsys.readouterr().out
    assert printed.startswith(f"epoch 4/9  reconstruction nan  {shown}")  # a loss that is NaN is no secret


def test_every_term_of_the_loss_is_told_in_order(capsys):
    names = {"target": 0.6, "smoothness": 0.2, "silhouette": 0.3, "reconstruction": 0.1, "k": 4.0, "total": 0.5}
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=0, max_epochs=1, callbacks=[], fast_dev_run=0,
        callback_metrics={f"val/{name}": torch.tensor(value) for name, value in names.items()},
    )  # fmt: skip
    line = EpochLine()
    line.on_train_epoch_start(trainer, None)
    line.on_train_epoch_end(trainer, SimpleNamespace(final_weights=Weights(0, 0.1, {"smoothness": 1.0})))
    printed = capsys.readouterr().out
    assert printed.startswith(
        "epoch 1/1  reconstruction 0.1  silhouette loss of batches 0.3  smoothness 0.2  target 0.6  "
    )
