import pytest

from deepspec.clustering import structure


@pytest.fixture(autouse=True)
def few_clouds(monkeypatch):
    """The test of structure has tests of its own."""
    monkeypatch.setattr(structure, "NULL_DRAWS", 2)
    monkeypatch.setattr(structure, "FRESH_DRAWS", 1)
