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


FOUR = [256, 128, 64, 32]


@pytest.mark.parametrize(
    ("spectra", "per_node", "encoder", "decoder"),
    [
        (256, 1, FOUR, [64, 128, 256]),
        (255, 1, [255, 128, 64, 32], [64, 128, 255]),
        (97, 1, [97, 64, 32], [64, 97]),
        (33, 1, [33, 32], [33]),
        (32, 1, [32], [32]),
        (2, 1, [4], [4]),
        (97, 4, [24], [24]),
        (97, 0.5, [194, 128, 64, 32], [64, 128, 194]),
        (2, 0, FOUR, [64, 128, 256]),
    ],
)
def test_no_layer_has_more_nodes_than_its_spectra_can_bear(spectra, per_node, encoder, decoder):
    given = NetworkConfig(encoder=FOUR, decoder=[64, 128, 256], spectra_per_node=per_node)
    sized = given.sized_for(2000, spectra)
    assert sized.hidden_widths(2000) == (encoder, decoder)
    assert (sized is given) == (encoder == FOUR), "what is not narrowed stays as it was given"
    assert sized.sized_for(2000, spectra) == sized
    assert NetworkConfig(**dataclasses.asdict(sized)) == sized


def test_widths_by_rule_are_narrowed_too():
    assert NetworkConfig(spectra_per_node=1).sized_for(1024, 100).encoder == [100, 64]
    assert NetworkConfig(encoder=[50, 50, 20], spectra_per_node=1).sized_for(512, 50).encoder == [50, 50, 20]
    assert NetworkConfig(encoder=[2], spectra_per_node=1).sized_for(512, 1).encoder == [2]
    assert NetworkConfig(decoder=[], spectra_per_node=1).sized_for(512, 40).hidden_widths(512) == ([40, 32], [])


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
        ({"spectra_per_node": -1}, "network.spectra_per_node must be at least 0; got -1"),
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
