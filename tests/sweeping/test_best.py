"""The best of a study: of several objectives the one of Optuna's front that the definition names."""

import optuna
import pytest

from deepspec.sweeping.best import best_trial


def study_of(values, directions):
    study = optuna.create_study(directions=directions)
    for value in values:
        study.add_trial(optuna.trial.create_trial(values=value))
    return study


def test_the_recommended_one_is_nearest_to_the_best_of_each_whatever_the_units():
    for unit in (1.0, 1e6):
        values = [[0.0 * unit, 0.0], [1.0 * unit, 10.0], [0.2 * unit, 8.0], [0.9 * unit, 9.9], [5.0 * unit, 5.0]]
        study = study_of(values, ["minimize", "maximize"])
        assert [trial.number for trial in study.best_trials] == [0, 1, 2, 3]
        assert best_trial(study).number == 2


@pytest.mark.parametrize(("direction", "number"), [("minimize", 1), ("maximize", 2)])
def test_one_objective(direction, number):
    study = study_of([[2.0], [1.0], [3.0], [1.0]], [direction])
    assert best_trial(study).number == number == study.best_trial.number


def test_nothing_finished():
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    assert best_trial(study) is None
