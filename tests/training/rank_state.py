"""A callback for tests: what every rank has at the end of training."""

from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback


class RankState(Callback):
    """Writes each rank's weights and buffers beside the run's other files."""

    def on_train_end(self, trainer, pl_module):
        torch.save(pl_module.state_dict(), Path(trainer.default_root_dir) / f"rank{trainer.global_rank}.pt")
