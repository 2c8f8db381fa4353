import dataclasses

import jsonargparse
import pytest

from deepspec.errors import UserError
from deepspec.models import NetworkConfig


@pytest.mark.parametrize(
    ("config", "channels", "expected"),
    [
        (NetworkConfig(), 512, ([256, 128, 64, 32], [32, 64, 128, 256])),
        (NetworkConfig(rule="linear", layers=3), 512, ([256, 128, 85], [85, 128, 256])),
        (NetworkConfig(encoder=[100, 20]), 512, ([100, 20], [20, 100])),
        (NetworkConfig(encoder=[100, 20], decoder=[50]), 512, ([100, 20], [50])),
        (NetworkConfig(decoder=[]), 64, ([32, 16, 8, 4], [])),
    ],
)
def test_hidden_widths(config, channels, expected):
    assert config.hidden_widths(channels) == expected


def test_widths_are_copies():
    config = NetworkConfig(encoder=[8, 4], decoder=[4, 8])
    for widths in config.hidden_widths(16):
        widths.clear()
    assert config.hidden_widths(16) == ([8, 4], [4, 8])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "cnn"}, "network.kind must be one of snn, mlp; got 'cnn'"),
        ({"rule": "cubic"}, "network.rule .* linear, power"),
        ({"output": "relu"}, "network.output must be one of sigmoid, linear, softplus"),
        ({"latent_activation": "relu"}, "network.latent_activation must be one of tanh, none"),
        ({"latent": 0}, "network.latent must be at least 1; got 0"),
        ({"layers": 0}, "network.layers must be at least 1"),
        ({"dropout": 1.0}, "network.dropout must be at least 0 and below 1; got 1.0"),
        ({"dropout": -0.1}, "network.dropout"),
        ({"encoder": []}, "network.encoder must hold at least one width"),
        ({"encoder": [64, 0]}, r"network.encoder must hold widths of at least 1; got \[64, 0\]"),
        ({"decoder": [-1]}, "network.decoder must hold widths"),
    ],
)
def test_errors_name_the_key(values, message):
    with pytest.raises(UserError, match=message):
        NetworkConfig(**values)


def test_jsonargparse_builds_it_from_plain_values():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=NetworkConfig)
    parsed = parser.parse_args(
        ["--network.encoder", "[256, 32]", "--network.output", "linear", "--network.variational", "true"]
    )
    config = NetworkConfig(**vars(parsed.network))
    assert config == NetworkConfig(encoder=[256, 32], output="linear", variational=True)
    assert NetworkConfig(**dataclasses.asdict(config)) == config
