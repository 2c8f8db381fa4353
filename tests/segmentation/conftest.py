"""Fixtures of the tests of segmentation."""

import pytest


@pytest.fixture(autouse=True)
def quick_structure(request):
    """The test of structure takes most of the time of a small cube; only its own tests need all of it."""
    if request.module.__name__.rpartition(".")[2] != "test_structure":
        request.getfixturevalue("few_clouds")
