"""Imports point down the list of layers only (the design's one rule on structure)."""

import ast
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deepspec"

# From the top down. Members of one set may import each other; nothing may import from a set above its own.
LAYERS = [
    {"__main__", "fit", "segment", "evaluate", "baseline", "synthesize", "ingest", "sweep", "compare", "experiments"},
    {"sweeping"},
    {"training", "workers"},
    {"reporting"},
    {"runs"},
    {"evaluation"},
    {"baselines"},
    {"segmentation"},
    {"models", "preprocess", "metrics", "data", "lines", "synthetic"},
    {"clustering"},
    {"functional", "schedules"},
    {"command", "progress", "drawing", "files", "pages", "texts", "threads", "presets"},
    {"axis", "extensions", "lazy_names"},
    {"errors"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imported_modules(path: Path) -> set[str]:
    """Names of the first-level `deepspec` modules that a file imports, wherever in the file it does so."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            names = [node.module or ""]
            if node.module == "deepspec":
                names = [f"deepspec.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("deepspec.")}
    return found


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in RANK, f"{own} is in no layer: add it to LAYERS"
    upward = {name for name in imported_modules(path) if name in RANK and RANK[name] < RANK[own]}
    assert not upward, f"{path.relative_to(PACKAGE)} imports from a higher layer: {sorted(upward)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_experiments_or_tests(path):
    roots = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
    assert not roots & {"experiments", "tests", "sweeps"}


def test_no_file_has_a_name_that_says_nothing():
    assert not [p for p in SOURCES if p.stem in {"utils", "helpers", "common", "misc"}]


def test_every_dependency_is_imported_somewhere():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    imports = {"scikit-learn": "sklearn", "scikit-image": "skimage", "pillow": "PIL", "pyyaml": "yaml"}
    sources = "\n".join(p.read_text() for p in PACKAGE.rglob("*.py"))
    for requirement in project["dependencies"]:
        name = requirement.split(">")[0].split("[")[0].split("=")[0].strip()
        module = imports.get(name, name)
        assert f"import {module}" in sources or f"from {module}" in sources, f"{name} is never imported"
