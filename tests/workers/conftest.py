from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Worker processes find this package and its tests whether or not they are installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
