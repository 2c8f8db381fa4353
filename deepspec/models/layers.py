"""Linear layers with their activation, dropout and the initialisation that suits them.

One rule gives every gain: with weights of variance gain^2 / fan_in and zero biases, inputs of unit second moment come
out of the *following* activation with (about) unit second moment again, at any depth.
- ReLU: gain sqrt(2), because it discards half of the second moment (He et al. 2015, arXiv 1502.01852, eq. 10).
- SELU: gain 1, "LeCun normal". Klambauer et al. 2017 (arXiv 1706.02515) prove zero mean and unit variance to be a
  stable and attracting fixed point for weights of variance 1 / fan_in; `torch.nn.init.calculate_gain("selu")` is 3/4,
  an empirical value for the size of gradients, with which activations shrink from layer to layer.
- tanh: gain 5/3, as `calculate_gain` has it; it makes up for the squashing.
- linear, sigmoid and softplus: gain 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from torch import nn

from deepspec.models.dropout import SELU_FLOOR, Dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepspec.models.config import NetworkKind, OutputActivation

GAINS = {"relu": 2**0.5, "selu": 1.0, "tanh": 5 / 3, "linear": 1.0}


def linear_layer(
    inputs: int, outputs: int, following: Literal["relu", "selu", "tanh", "linear"], *, bias: bool = True
) -> nn.Linear:
    """A linear layer initialised for the activation that follows it (see the top of this file); biases are zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=GAINS[following] / inputs**0.5)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def hidden_layers(widths: Sequence[int], kind: NetworkKind, *, dropout: float, bias: bool) -> list[nn.Module]:
    """Layers that lead from `widths[0]` through each further width: linear, activation and, if asked for, dropout.

    Activations work in place, which spares one write of the layer's output; the linear layer before does not need
    its own output for the gradient.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        if kind == "snn":
            modules += [linear_layer(inputs, outputs, "selu", bias=bias), nn.SELU(inplace=True)]
        else:
            modules += [linear_layer(inputs, outputs, "relu", bias=bias), nn.ReLU(inplace=True)]
        if dropout > 0:
            modules.append(Dropout(dropout, floor=SELU_FLOOR if kind == "snn" else 0.0))
    return modules


def output_layers(inputs: int, channels: int, output: OutputActivation) -> list[nn.Module]:
    """The linear layer that makes a spectrum, and the activation that sets its range."""
    modules: list[nn.Module] = [linear_layer(inputs, channels, "linear")]
    if output == "sigmoid":
        modules.append(nn.Sigmoid())
    elif output == "softplus":
        modules.append(nn.Softplus())
    return modules
