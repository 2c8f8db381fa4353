"""Search spaces: what they draw, and every mistake in them."""

import optuna
import pytest

from deepspec.errors import UserError
from deepspec.sweeping.space import Space

KEYS = {
    "model": {},
    "model.latent": 3,
    "model.kind": "snn",
    "model.lr": 0.001,
    "model.encoder": None,
    "model.decoder": None,
    "model.variational": False,
    "beta.value": 0.0,
    "data.root": "shards",
}
LR = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}


def drawn(space, count=60):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.draw(study.ask()) for _ in range(count)]


def test_every_type_is_drawn_within_its_limits():
    space = Space(
        {
            "model.lr": LR,
            "model.latent": {"type": "int", "low": 2, "high": 8, "step": 2},
            "model.kind": {"type": "categorical", "choices": ["snn", "mlp"]},
            "data.root": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
        }
    )
    space.check(KEYS)
    found = drawn(space)
    assert all(1e-4 <= point["model.lr"] <= 1e-2 for point in found)
    assert sum(point["model.lr"] < 1e-3 for point in found) > 15  # half of a logarithmic range, a tenth of a linear one
    assert {point["model.latent"] for point in found} == {2, 4, 6, 8}
    assert {point["model.kind"] for point in found} == {"snn", "mlp"}


def test_lists_survive_the_storage():
    space = Space({"model.encoder": {"type": "categorical", "choices": [[512, 64], [32], None]}})
    assert {str(point["model.encoder"]) for point in drawn(space)} == {"[512, 64]", "[32]", "None"}
    assert space.overrides_of({"model.encoder": "[512, 64]"}) == {"model.encoder": [512, 64]}


def test_widths_narrow_from_the_first_and_are_mirrored():
    entry = {"type": "widths", "depth": [2, 4], "first": [100, 400], "shrink": [2, 4], "mirror": "model.decoder"}
    space = Space({"model.encoder": entry})
    space.check(KEYS)
    values = {"model.encoder.depth": 3, "model.encoder.first": 256, "model.encoder.shrink": 2.0}
    assert space.overrides_of(values) == {"model.encoder": [256, 128, 64], "model.decoder": [64, 128, 256]}
    for point in drawn(space):
        assert 2 <= len(point["model.encoder"]) <= 4
        assert point["model.encoder"] == sorted(point["model.encoder"], reverse=True) == point["model.decoder"][::-1]


def test_named_choices_set_several_keys():
    choices = {"small": {"model.encoder": [32], "model.latent": 2}, "plain": {}}
    space = Space({"shape": {"type": "categorical", "choices": choices}})
    space.check(KEYS)
    assert space.overrides_of({"shape": "small"}) == {"model.encoder": [32], "model.latent": 2}
    assert space.overrides_of({"shape": "plain"}) == {}


CONDITIONAL = {
    "model.variational": {"type": "categorical", "choices": [False, True]},
    "beta.value": {"type": "categorical", "choices": [0.1, 0.2], "when": {"model.variational": True}},
    "model.lr": {"type": "categorical", "choices": [1.0, 2.0], "when": {"beta.value": [0.2]}},
}


def test_conditional_parameters_are_drawn_only_where_they_apply():
    space = Space(CONDITIONAL)
    space.check(KEYS)
    for point in drawn(space):
        assert ("beta.value" in point) == point["model.variational"]
        assert ("model.lr" in point) == (point.get("beta.value") == 0.2)


def test_a_grid_has_every_combination_once_and_leaves_out_what_does_not_apply():
    grid = Space(CONDITIONAL).grid()
    assert grid == [
        {"model.variational": False},
        {"model.variational": True, "beta.value": 0.1},
        {"model.variational": True, "beta.value": 0.2, "model.lr": 1.0},
        {"model.variational": True, "beta.value": 0.2, "model.lr": 2.0},
    ]
    numbers = Space(
        {
            "model.latent": {"type": "int", "low": 2, "high": 6, "step": 2},
            "model.lr": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
        }
    ).grid()
    assert [(point["model.latent"], point["model.lr"]) for point in numbers] == [
        (latent, lr) for latent in (2, 4, 6) for lr in (0.0, 0.1, 0.2, 0.3)
    ]


def test_a_condition_on_a_key_of_the_experiment_holds_for_all_trials():
    space = Space({"model.lr": {**LR, "when": {"model.kind": "snn"}}})
    space.check(KEYS)
    assert all("model.lr" in point for point in drawn(space, 3))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({}, "at least one parameter"),
        ({"model.lr": 3}, "expected a mapping with `type`, one of int, float, categorical, widths"),
        ({"model.lr": {"type": "real"}}, "expected a mapping with `type`"),
        ({"model.lr": {**LR, "hihg": 1}}, "unknown key 'hihg' .did you mean 'high'"),
        ({"model.lr": {"type": "float", "low": 0.0}}, "high: expected a number, got None"),
        ({"model.lr": {"type": "float", "low": "1e-4", "high": 1.0}}, "write 1.0e-3"),
        ({"model.lr": {"type": "float", "low": 1.0, "high": 0.5}}, "model.lr.*low"),
        ({"model.lr": {"type": "float", "low": 0.0, "high": 0.5, "log": True}}, "model.lr.*low"),
        ({"model.latent": {"type": "int", "low": 1.5, "high": 3}}, "low: expected a whole number, got 1.5"),
        ({"model.latent": {"type": "int", "low": 1, "high": 3, "log": 1}}, "log: expected true or false"),
        ({"model.latent": {"type": "int", "low": 2, "high": 7, "step": 2}}, "not divisible by `step`"),
        ({"model.kind": {"type": "categorical", "choices": []}}, "choices: expected a list of values"),
        ({"model.kind": {"type": "categorical", "choices": {"a": 3}}}, "choices, a: expected a mapping of keys"),
        ({"model.kind": {"type": "categorical", "choices": ["a", "a"]}}, "two of them are equal"),
        ({"model.encoder": {"type": "widths", "depth": [3, 2], "first": [1, 2], "shrink": [1, 2]}}, "depth: expected"),
        ({"model.encoder": {"type": "widths", "depth": [1, 2], "first": [1, 2]}}, "shrink: expected .LOW, HIGH."),
        ({"model.lr": {**LR, "when": "always"}}, "expected `when: {NAME: VALUE"),
        ({"model.lr": LR, "a": {"type": "categorical", "choices": {"x": {"model.lr": 1}}}}, "both set model.lr"),
        ({"model": {"type": "categorical", "choices": [{}]}, "model.lr": LR}, "both set model.lr"),
    ],
)
def test_entries_that_cannot_be(search, message):
    with pytest.raises(UserError, match=message):
        Space(search)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            {"model.latnt": {"type": "int", "low": 2, "high": 3}},
            "no key of the experiment .did you mean 'model.latent'",
        ),
        ({"a": {"type": "categorical", "choices": {"x": {"model.krnd": 1}}}}, "'model.krnd' is no key"),
        ({"model.lr": {**LR, "when": {"model.kind": "mlp"}}}, "can never be one of .'mlp'.: the experiment has 'snn'"),
        ({"model.lr": {**LR, "when": {"model.kidn": "mlp"}}}, "neither searched nor a key.*'model.kind'"),
        (
            {
                "model.kind": {"type": "categorical", "choices": ["snn", "mlp"]},
                "model.lr": {**LR, "when": {"model.kind": ["mlp", "cnn"]}},
            },
            "model.kind: can never be 'cnn'",
        ),
        (
            {
                "model.lr": {**LR, "when": {"model.kind": "mlp"}},
                "model.kind": {"type": "categorical", "choices": ["snn", "mlp"]},
            },
            "must stand above model.lr",
        ),
        ({"model.lr": LR, "beta.value": {**LR, "when": {"model.lr": 0.001}}}, "is not a stepwise number"),
        (
            {
                "model.latent": {"type": "int", "low": 2, "high": 6, "step": 2},
                "model.lr": {**LR, "when": {"model.latent": 3}},
            },
            "model.latent: can never be 3",
        ),
        (
            {
                "shape": {"type": "categorical", "choices": {"x": {"model.kind": "mlp"}}},
                "model.lr": {**LR, "when": {"model.kind": "mlp"}},
            },
            "is set by shape: name that",
        ),
        (  # latent needs depth 3, which there is with a mlp alone; lr wants it with a snn
            {
                "model.kind": {"type": "categorical", "choices": ["snn", "mlp"]},
                "depth": {"type": "categorical", "choices": {"2": {}, "3": {}}, "when": {"model.kind": "mlp"}},
                "model.latent": {"type": "int", "low": 2, "high": 6, "when": {"depth": "3"}},
                "model.lr": {**LR, "when": {"model.latent": [2, 3], "model.kind": "snn"}},
            },
            "model.lr: when: can never hold: model.kind must be one of .'mlp'. for depth, and one of .'snn'. for",
        ),
    ],
)
def test_what_the_experiment_does_not_know_or_never_reaches(search, message):
    with pytest.raises(UserError, match=message):
        Space(search).check(KEYS)


def test_a_grid_of_a_continuous_range_is_refused():
    with pytest.raises(UserError, match=r"model.lr: a grid needs a `step`"):
        Space({"model.lr": LR}).grid()
