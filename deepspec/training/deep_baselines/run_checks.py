"""Whether a run leaves a deep baseline its place: no silhouette beside it, and epochs enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.training.loss_schedule import LossSchedule

if TYPE_CHECKING:
    import lightning

    from deepspec.training.deep_baselines.method import DeepBaseline


def check_run(method: DeepBaseline | None, trainer: lightning.Trainer) -> None:
    """Refuse what would be compared under a wrong name; None is always in order.

    Raises:
        UserError: the silhouette (for vade, or the MMD) has a weight too, or the run ends before the method begins.
    """
    if method is None:
        return
    kind, pretrain = method.config.kind, method.config.pretrain
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, LossSchedule):
            others = {"gamma": callback.gamma} | ({"beta": callback.beta} if kind == "vade" else {})
            for name, schedule in others.items():
                if max(schedule.value, schedule.initial) > 0:
                    raise UserError(
                        f"model.deep_baseline: {kind} brings its own loss, expected loss_schedule.{name}.value 0, "
                        f"got {max(schedule.value, schedule.initial)}"
                    )
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= pretrain:
        raise UserError(
            f"model.deep_baseline.pretrain: expected fewer epochs than trainer.max_epochs {trainer.max_epochs}, "
            f"got {pretrain}: the run would end before {kind} begins"
        )


def check_begun(method: DeepBaseline | None) -> None:
    """Refuse the result of a run that was stopped before its method began.

    Raises:
        UserError: there are no clusters yet, so the model is a plain autoencoder.
    """
    if method is not None and not method.begun:
        raise UserError(
            f"the run stopped within the {method.config.pretrain} epochs of model.deep_baseline.pretrain, before "
            f"{method.config.kind} began: continue with --ckpt_path last, or lower pretrain"
        )
