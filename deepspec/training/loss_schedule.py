"""Moves the weights of the loss from epoch to epoch: beta(i) and gamma(i) of equation 6, and those of further terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from deepspec.errors import UserError, described, did_you_mean
from deepspec.schedules import Schedule
from deepspec.training.loss_terms import SYMBOLS, Weights, loss_terms

if TYPE_CHECKING:
    import lightning

    from deepspec.training.spectral_module import SpectralModule


class LossSchedule(Callback):
    """Sets the weights of the loss at the start of every epoch, and logs them.

    A function of the epoch alone, so there is nothing to save: a resumed run finds the weights it left.

    >>> schedule = LossSchedule(gamma={"kind": "step", "value": 0.01, "start": 30})
    >>> schedule.gamma(29), schedule.gamma(30)
    (0.0, 0.01)

    Args:
        beta: weight of the MMD. From Python a mapping of the keys that YAML takes serves as well, here and below.
        gamma: weight of the silhouette loss.
        terms: weights of further terms by name (see `deepspec.training.loss_terms`); `reconstruction` has weight 1 if
            it is not among them.

    Raises:
        UserError: a value is no schedule, or there is no term of a name.
    """

    def __init__(
        self,
        beta: Schedule = Schedule("constant", 0.0),  # noqa: B008  frozen
        gamma: Schedule = Schedule("constant", 0.01),  # noqa: B008  frozen
        terms: dict[str, Schedule] | None = None,
    ) -> None:
        self.beta = _as_schedule(beta, "beta")
        self.gamma = _as_schedule(gamma, "gamma")
        self.terms = {name: _as_schedule(schedule, f"terms.{name}") for name, schedule in (terms or {}).items()}
        for name in self.terms:
            if name in SYMBOLS:
                raise UserError(f"loss_schedule.terms.{name}: this weight is loss_schedule.{SYMBOLS[name]}")
            if name not in loss_terms:
                hint = did_you_mean(name, loss_terms, otherwise="list")
                raise UserError(f"loss_schedule.terms.{name}: no such loss term{hint}")
            loss_terms[name]  # a package that cannot be loaded is told of now

    @property
    def schedules(self) -> dict[str, Schedule]:
        """Every schedule by its key under `loss_schedule`."""
        return {"beta": self.beta, "gamma": self.gamma} | {f"terms.{name}": s for name, s in self.terms.items()}

    def setup(self, trainer: lightning.Trainer, pl_module: SpectralModule, stage: str) -> None:  # type: ignore[override]
        """Tell the model where the weights will end, which its target is put together with."""
        if stage != "fit":
            return  # the model knows the weights of its training
        pl_module.schedules = self.schedules
        pl_module.final_weights = Weights(
            self.beta.final, self.gamma.final, {name: schedule.final for name, schedule in self.terms.items()}
        )
        terms = {name: asdict(schedule) for name, schedule in self.terms.items()}
        pl_module.described["loss_schedule"] = {
            "beta": asdict(self.beta), "gamma": asdict(self.gamma), "terms": terms or None
        }  # fmt: skip
        self._set(pl_module)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: SpectralModule) -> None:  # type: ignore[override]
        """Set the weights of this epoch."""
        self._set(pl_module)
        pl_module.log_dict(pl_module.weights.columns(), on_step=False, on_epoch=True)

    def _set(self, model: SpectralModule) -> None:
        epoch = model.current_epoch
        others = {name: schedule(epoch) for name, schedule in self.terms.items()}
        model.weights = Weights(self.beta(epoch), self.gamma(epoch), others)


def _as_schedule(given: Schedule | Mapping[str, Any], key: str) -> Schedule:
    if isinstance(given, Schedule):
        return given
    if not isinstance(given, Mapping):
        raise UserError(f"loss_schedule.{key}: expected a schedule or a mapping of its keys, got {described(given)}")
    known = [field.name for field in fields(Schedule)]
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known, otherwise="list")
            raise UserError(f"loss_schedule.{key}: a schedule has no {name!r}{hint}")
    if not {"kind", "value"} <= set(given):
        raise UserError(f"loss_schedule.{key}: expected at least kind and value, got {', '.join(given) or 'nothing'}")
    try:
        return Schedule(**given)
    except UserError as error:
        raise UserError(f"loss_schedule.{key}: {error}") from error
