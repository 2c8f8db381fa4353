"""Imports point down: between packages by the list of layers, between modules nowhere in a circle."""

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deepspec"

# From the top down. Whatever is in a set imports only from the sets below it, also where that is for types alone.
LAYERS = [
    {"__main__", "map"},
    {
        "fit",
        "segment",
        "evaluate",
        "baseline",
        "synthesize",
        "ingest",
        "sweep",
        "compare",
        "experiments",
        "maps",
        "relabel",
        "view",
    },
    {"sweeping", "automatic"},
    {"workers", "training"},
    {"reporting"},
    {"runs"},
    {"evaluation"},
    {"baselines"},
    {"segmentation"},
    {"models", "synthetic", "line_maps"},
    {"data"},
    {"lines", "clustering", "preprocess", "metrics"},
    {"axis", "functional", "schedules", "command", "presets", "pages", "drawing"},
    {"files", "extensions", "notes", "progress", "threads", "texts"},
    {"pretrained"},
    {"errors", "lazy_names", "renamed"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    """`deepspec.data.cube` of a file, and the package's name of its `__init__.py`."""
    parts = ("deepspec", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in [PACKAGE / "__init__.py", *SOURCES]}


def imports_of(path: Path) -> set[tuple[str, str]]:
    """Every module and name that a file imports of deepspec, wherever in the file it does so."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            found |= {(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
    return {(module, name) for module, name in found if module.split(".")[0] == "deepspec"}


@cache
def homes(package: str) -> dict[str, str]:
    """The module that each name which a package's `__init__.py` imports comes from."""
    return {name: module for module, name in imports_of(MODULES[package])}


def imported_modules(path: Path) -> set[str]:
    """The modules that a file's imports lead to: of a name that a package only passes on, the one that defines it."""
    found = set()
    for module, name in imports_of(path):
        if f"{module}.{name}" in MODULES:
            found.add(f"{module}.{name}")
        elif MODULES[module].name == "__init__.py" and name in homes(module):
            found.add(homes(module)[name])
        else:
            found.add(module)
    return found - {"deepspec"}


def first_level(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = first_level(name_of(path))
    assert own in RANK, f"{own} is in no layer: add it to LAYERS"
    upward = {m for m in imported_modules(path) if first_level(m) != own and RANK[first_level(m)] <= RANK[own]}
    assert not upward, f"{path.relative_to(PACKAGE)} imports from its own layer or a higher one: {sorted(upward)}"


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """A circle of modules for each that is found, in the order in which they import each other."""
    found, done = [], set()

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            found.append(way[way.index(module) :])
        elif module not in done:
            for inner in sorted(graph.get(module, ())):
                visit(inner, [*way, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: imported_modules(path) for name, path in MODULES.items() if name != "deepspec"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]
    assert circles(graph) == []


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


MAY_PRINT = {
    "__main__", "baseline", "compare", "evaluate", "experiments", "fit", "ingest", "map", "maps", "relabel", "segment",
    "synthesize", "view",  # the verbs
    "automatic.mapping", "workers.pool", "sweeping.report",  # what they say while they run many things
    "notes", "training.rank_watch",  # the logger's handler, and the last words of a process that is being ended
    "lines.make_xray_table", "synthetic.pigment_table",  # programs of their own
}  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_commands_print(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    prints = any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
    assert not prints or name_of(path).removeprefix("deepspec.") in MAY_PRINT, "let it return lines, or use notes.note"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_described_once(path):
    """Where modules were merged their docstrings stood one under the other, each with its legend of shapes."""
    paragraphs = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
    assert sum(text.startswith(("Shapes:", "Shape:")) for text in paragraphs) <= 1
