import pytest

from deepspec.errors import UserError
from deepspec.models import encoder_widths


@pytest.mark.parametrize(
    ("channels", "layers", "rule", "smallest", "expected"),
    [
        (512, 4, "power", 3, [256, 128, 64, 32]),
        (512, 4, "linear", 3, [256, 128, 85, 64]),
        (1024, 1, "power", 3, [512]),
        (1024, 1, "linear", 3, [512]),
        (2048, 6, "linear", 10, [1024, 512, 341, 256, 204, 170]),
        # both rules stop above the smallest
        (512, 99, "power", 3, [256, 128, 64, 32, 16, 8, 4]),
        (32, 5, "power", 4, [16, 8]),
        (20, 9, "linear", 2, [10, 5, 3]),
        (4, 9, "power", 1, [2]),
    ],
)
def test_table(channels, layers, rule, smallest, expected):
    assert encoder_widths(channels, layers, rule, smallest) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 4, "power", 3), "channels >= 2.*channels=1"),
        ((512, 0, "power", 3), "layers >= 1.*layers=0"),
        ((512, 4, "power", 0), "latent dimension >= 1.*latent=0"),
        ((512, 4, "cubic", 3), "linear, power; got 'cubic'"),
        ((6, 4, "power", 3), "no hidden layer fits between 6 channels and a latent dimension of 3.*have 3 nodes"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        encoder_widths(*arguments)
