"""Fixtures of the tests of baselines."""

import pytest


@pytest.fixture(autouse=True)
def quick_structure(few_clouds):
    """The test of structure has tests of its own."""
