"""From a configuration to the method it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepspec.errors import UserError
from deepspec.training.deep_baselines.dcn import DCN
from deepspec.training.deep_baselines.idec import IDEC
from deepspec.training.deep_baselines.vade import VaDE

if TYPE_CHECKING:
    from deepspec.models import NetworkConfig
    from deepspec.training.deep_baselines.config import DeepBaselineConfig
    from deepspec.training.deep_baselines.method import DeepBaseline


def build_deep_baseline(config: DeepBaselineConfig | None, network: NetworkConfig) -> DeepBaseline | None:
    """The method of `config` for the latent space of `network`; None for None.

    Raises:
        UserError: a value is out of range; the method is for a variational network and this is none, or the other way
            round; the network is an ensemble.
    """
    if config is None:
        return None
    config.check()
    if network.class_path is not None:
        raise UserError(
            f"model.deep_baseline.kind {config.kind} is published for deepspec's own layers: leave out "
            f"model.network.class_path {network.class_path}"
        )
    if network.ensemble > 1:
        raise UserError(
            f"model.deep_baseline.kind {config.kind} trains a single network: set model.network.ensemble 1, not "
            f"{network.ensemble}"
        )
    if network.variational != (config.kind == "vade"):
        wanted = str(config.kind == "vade").lower()
        raise UserError(f"model.deep_baseline.kind {config.kind} needs model.network.variational {wanted}")
    if config.kind == "vade":
        return VaDE(config, network.latent)
    return (DCN if config.kind == "dcn" else IDEC)(config, network.latent)
