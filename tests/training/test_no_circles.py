"""No module of training or models imports one that imports it, not even for type checkers."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "deepspec"


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph_of(package):
    """Module -> modules of the same package that it imports, wherever in the file."""
    files = {name_of(path): path for path in (PACKAGE / package).rglob("*.py")}
    graph = {}
    for name, path in files.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = (found & set(files)) - {name}
    return graph


@pytest.mark.parametrize("package", ["training", "models"])
def test_no_circles(package):
    graph = graph_of(package)
    assert sum(map(len, graph.values())) >= len(graph) - 2, "the graph is nearly empty: imports were not found"
    try:
        order = [*TopologicalSorter(graph).static_order()]
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
    assert len(order) == len(graph)
