"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("DEEPSPEC_DATA", Path(__file__).parents[1].parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real measured data; see the README for what it holds."""
    if not DATA.is_dir():
        pytest.skip(f"real data not found at {DATA}: set DEEPSPEC_DATA to its folder")
    return DATA
