"""Whether a run leaves a deep baseline its place: no silhouette beside it, and epochs enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepspec.schedules import Schedule
    from deepspec.training.deep_baselines.method import DeepBaseline


def check_run(method: DeepBaseline | None, schedules: Mapping[str, Schedule], max_epochs: int | None) -> None:
    """Refuse what would be compared under a wrong name; None is always in order.

    Args:
        method: of the run.
        schedules: of the weights of the loss, by their keys under `loss_schedule`.
        max_epochs: of the run; None or -1 without a bound.

    Raises:
        UserError: another clustering loss (for vade, also the MMD) has a weight too, or the run ends before the method
            begins.
    """
    if method is None:
        return
    kind, pretrain = method.config.kind, method.config.pretrain
    for name, schedule in schedules.items():
        allowed = name == "terms.reconstruction" or (name == "beta" and kind != "vade")
        if not allowed and max(schedule.value, schedule.initial) > 0:
            raise UserError(
                f"model.deep_baseline: {kind} brings its own loss, expected loss_schedule.{name}.value 0, "
                f"got {max(schedule.value, schedule.initial)}"
            )
    if max_epochs is not None and 0 <= max_epochs <= pretrain:
        raise UserError(
            f"model.deep_baseline.pretrain: expected fewer epochs than trainer.max_epochs {max_epochs}, "
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
