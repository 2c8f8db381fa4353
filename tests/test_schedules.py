import itertools
import math
from dataclasses import asdict

import jsonargparse
import pytest

from deepspec.errors import UserError
from deepspec.schedules import Schedule, cosine, cyclic, linear, sigmoid, step

CONSTANT = Schedule("constant", 0.01)
STEP = Schedule("step", 0.01, start=30)
LINEAR = Schedule("linear", 1.0, start=10, end=20)
DOWN = Schedule("linear", 0.25, start=0, end=4, initial=1.25)
COSINE = Schedule("cosine", 2.0, start=10, end=20)
SIGMOID = Schedule("sigmoid", 2.0, start=10, end=20)
CYCLIC = Schedule("cyclic", 1.0, start=5, period=10, ramp=0.5)


@pytest.mark.parametrize(
    ("schedule", "epoch", "expected"),
    [
        (CONSTANT, 0, 0.01),
        (CONSTANT, 1000, 0.01),
        (STEP, 0, 0.0),
        (STEP, 29, 0.0),
        (STEP, 29.99, 0.0),
        (STEP, 30, 0.01),
        (STEP, 31, 0.01),
        (LINEAR, 0, 0.0),
        (LINEAR, 10, 0.0),
        (LINEAR, 12, 0.2),
        (LINEAR, 15, 0.5),
        (LINEAR, 20, 1.0),
        (LINEAR, 99, 1.0),
        (DOWN, 0, 1.25),
        (DOWN, 2, 0.75),
        (DOWN, 4, 0.25),
        (COSINE, 10, 0.0),
        (COSINE, 12, 1 - math.cos(0.2 * math.pi)),
        (COSINE, 15, 1.0),
        (COSINE, 20, 2.0),
        (COSINE, 21, 2.0),
        (SIGMOID, 0, 0.0),
        (SIGMOID, 10, 0.0),
        (SIGMOID, 15, 1.0),
        (SIGMOID, 20, 2.0),
        (SIGMOID, 21, 2.0),
        (CYCLIC, 0, 0.0),
        (CYCLIC, 5, 0.0),
        (CYCLIC, 7, 0.4),
        (CYCLIC, 10, 1.0),
        (CYCLIC, 14, 1.0),
        (CYCLIC, 15, 0.0),
        (CYCLIC, 17, 0.4),
    ],
)
def test_table(schedule, epoch, expected):
    assert schedule(epoch) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
def test_ramps_are_exact_outside_monotonic_inside_and_symmetric(kind):
    schedule = Schedule(kind, 0.3, start=3, end=40, initial=0.1)
    weights = [schedule(epoch) for epoch in range(50)]
    assert weights[:4] == [0.1] * 4
    assert weights[40:] == [0.3] * 10
    assert all(a < b for a, b in itertools.pairwise(weights[3:41]))
    assert all(weights[3 + i] + weights[40 - i] == pytest.approx(0.4) for i in range(38))


def test_sigmoid_is_a_stretched_logistic_function():
    def logistic(x):
        return 1 / (1 + math.exp(-x))

    for epoch in (0, 1, 2.5, 7, 10):
        raw, low, high = (logistic(8 * (t - 0.5)) for t in (epoch / 10, 0, 1))
        assert sigmoid(epoch, 0, 1, 0, 10, steepness=8) == pytest.approx((raw - low) / (high - low))


def test_cyclic_is_equation_6_of_fu_et_al():
    # T training steps, M cycles, R the rising part; their t counts from 1
    steps, cycles, rising = 40, 4, 0.5
    for t in range(1, steps + 1):
        tau = ((t - 1) % math.ceil(steps / cycles)) / (steps / cycles)
        expected = tau / rising if tau <= rising else 1
        assert cyclic(t - 1, 0.0, 1.0, start=0, period=steps // cycles, ramp=rising) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "settled"),
    [
        (CONSTANT, 0),
        (STEP, 30),
        (LINEAR, 20),
        (COSINE, 20),
        (SIGMOID, 20),
        (CYCLIC, None),
        (Schedule("linear", 0.5, end=9, initial=0.5), 0),
        (Schedule("step", 0.0, start=7), 0),
    ],
)
def test_settled_at_and_final(schedule, settled):
    assert schedule.settled_at == settled
    assert schedule.final == schedule.value
    if settled is not None:
        assert {schedule(epoch) for epoch in range(settled, settled + 50)} == {schedule.final}
    if settled:
        assert schedule(settled - 1) != schedule.final


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "exponential", "value": 1.0}, "one of constant, step, .*; got 'exponential'"),
        ({"kind": "constant", "value": 1.0, "start": 3}, "a constant schedule has no 'start'; leave it out$"),
        (
            {"kind": "step", "value": 1.0, "end": 3},
            r"a step schedule has no 'end'; leave it out \(it has initial, start",
        ),
        ({"kind": "linear", "value": 1.0, "end": 3, "period": 2}, "a linear schedule has no 'period'"),
        ({"kind": "cosine", "value": 1.0, "end": 3, "ramp": 0.1}, "a cosine schedule has no 'ramp'"),
        ({"kind": "cosine", "value": 1.0, "end": 3, "steepness": 1.0}, "a cosine schedule has no 'steepness'"),
        ({"kind": "cyclic", "value": 1.0, "period": 4, "end": 3}, "a cyclic schedule has no 'end'"),
        ({"kind": "linear", "value": 1.0}, "a linear schedule needs an end after start=0; got end=None"),
        ({"kind": "linear", "value": 1.0, "start": 5, "end": 5}, "an end after start=5; got end=5"),
        ({"kind": "sigmoid", "value": 1.0, "start": 5, "end": 4}, "a sigmoid schedule needs an end after start=5"),
        ({"kind": "cyclic", "value": 1.0}, "a period of at least 2 epochs; got None"),
        ({"kind": "cyclic", "value": 1.0, "period": 1}, "a period of at least 2 epochs; got 1"),
        ({"kind": "cyclic", "value": 1.0, "period": 4, "ramp": 0.0}, "ramp must be above 0 and at most 1; got 0.0"),
        ({"kind": "cyclic", "value": 1.0, "period": 4, "ramp": 1.1}, "ramp must be above 0 and at most 1"),
        ({"kind": "sigmoid", "value": 1.0, "end": 4, "steepness": 0.0}, "steepness must be above 0; got 0.0"),
        ({"kind": "constant", "value": -1.0}, "value must be a finite weight of at least 0; got -1.0"),
        ({"kind": "constant", "value": math.nan}, "value must be a finite weight"),
        ({"kind": "step", "value": 1.0, "initial": math.inf}, "initial must be a finite weight"),
        ({"kind": "step", "value": 1.0, "start": -1}, "start must be at least 0; got -1"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(UserError, match=message):
        Schedule(**values)


def test_bad_arguments_of_the_functions():
    with pytest.raises(ValueError, match="epochs count from 0; got -1"):
        CONSTANT(-1)
    for function in (linear, cosine, sigmoid):
        with pytest.raises(ValueError, match="end after it starts; got start=3, end=3"):
            function(1, 0.0, 1.0, 3, 3)
    with pytest.raises(ValueError, match="period=0"):
        cyclic(1, 0.0, 1.0, 0, 0)
    assert step(5, 1.0, 2.0, 5) == 2.0


def test_jsonargparse_builds_it_from_plain_values():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--beta", type=Schedule)
    parsed = parser.parse_args(["--beta.kind", "cyclic", "--beta.value", "1", "--beta.period", "8"])
    assert Schedule(**vars(parsed.beta)) == Schedule("cyclic", 1.0, period=8)
    assert Schedule(**asdict(CYCLIC)) == CYCLIC
