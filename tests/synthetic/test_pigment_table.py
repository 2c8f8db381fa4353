"""The committed table against a new computation; needs xraylib."""

from importlib import resources

import numpy as np
import pytest

pytest.importorskip("xraylib")

from deepspec.synthetic import pigment_table
from deepspec.synthetic.recipes import PARCHMENT, RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_mass_fractions_sum_to_one(recipe):
    for layer in (*recipe.layers, PARCHMENT):
        assert sum(layer.composition.values()) == pytest.approx(1.0)
        assert sum(pigment_table.elements_of(layer.composition).values()) == pytest.approx(1.0)


def test_the_committed_files_are_what_the_maker_makes():
    folder = resources.files("deepspec.synthetic")
    made = pigment_table.make_table()
    with np.load(str(folder.joinpath("pigments.npz"))) as committed:
        assert set(committed) == set(made)
        for name in committed:
            np.testing.assert_allclose(committed[name], made[name], rtol=1e-6, atol=1e-12, err_msg=name)


def test_scatter_is_a_small_part_of_heavy_pigments_and_most_of_parchment():
    share = {}
    for recipe in RECIPES:
        if recipe.name in ("lead white", "azurite", "parchment"):
            found = pigment_table.emission_of(recipe)
            scatter = found.anode.sum() + found.scattered.sum()
            share[recipe.name] = scatter / (scatter + sum(found.lines.values()))
    assert 0.03 < share["lead white"] < 0.2
    assert 0.03 < share["azurite"] < 0.2
    assert 0.4 < share["parchment"] < 0.75
