import pytest

from deepspec.errors import UserError
from deepspec.sweeping.experiment import check_objectives

COLUMNS = ("epoch", "step", "ikmeans/stability", "val/reconstruction")


@pytest.mark.parametrize(
    ("every", "keep", "said"),
    [
        (1, "best", None),
        (1, "last", None),
        (0, "last", None),  # the last epoch is always clustered
        (5, "last", None),
        (0, "best", "logged only in the last epoch"),
        (5, "best", "logged only every 5 epochs"),
    ],
)
def test_an_objective_must_be_logged_in_the_epoch_that_counts(every, keep, said):
    config = {"keep": keep, "ikmeans": {"every_n_epochs": every}}
    if said is None:
        check_objectives({"ikmeans/stability": "maximize"}, config, COLUMNS, "kept")
    else:
        with pytest.raises(UserError, match=said):
            check_objectives({"ikmeans/stability": "maximize"}, config, COLUMNS, "kept")
    check_objectives({"ikmeans/stability": "maximize"}, config, COLUMNS, "best")


def test_validation_must_be_logged_in_the_epoch_that_is_kept():
    config = {"keep": "last", "trainer": {"check_val_every_n_epoch": 2}}
    with pytest.raises(UserError, match="every 2 epochs"):
        check_objectives({"val/reconstruction": "minimize"}, config, COLUMNS, "kept")


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'ikmeans/stability'"):
        check_objectives({"ikmeans/stabilty": "maximize"}, {}, COLUMNS, "kept")
