import pytest

from deepspec.clustering import structure


@pytest.fixture(autouse=True)
def few_clouds(request, monkeypatch):
    """The test of structure takes most of the time of a small cube; only its own tests need all of it."""
    if request.module.__name__.rpartition(".")[2] != "test_structure":
        monkeypatch.setattr(structure, "NULL_DRAWS", 2)
        monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
